import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { matchesOf, shotsOf, tilesOf } from "../../data/synthetic.ts";
import { footprintOf } from "../../data/synthetic_views.ts";
import project from "../../deno.json" with { type: "json" };
import { parseFlags } from "../../scripts/cli.ts";
import {
  commandLine,
  DEMO_SIZE,
  type DemoSize,
  evaluationStep,
  REGIONS,
  trainingSteps,
} from "../../scripts/demo.ts";
import { checkNewRun, checkTrainFlags, TRAIN_FLAGS } from "../../scripts/train_flags.ts";
import { GPU_OFF } from "../testing.ts";
import { runCommand } from "./command.ts";

const CHILD = fileURLToPath(new URL("demo_child.ts", import.meta.url));
const ATTEMPTS = fileURLToPath(new URL("../faults/attempts.ts", import.meta.url));
const TINY: DemoSize = {
  rows: 2,
  columns: { train: 6, test: 2 },
  passes: { train: 1, test: 1 },
  copies: 2,
  epochs: 1,
  batch: 4,
};

Deno.test("trainingSteps() names the commands, and training flags that train takes", () => {
  const steps = trainingSteps("out", DEMO_SIZE);
  assert.deepEqual(steps.map(({ name }) => name), ["merge", "merge", "weights", "train"]);
  const flags = parseFlags({ name: "train", summary: "" }, TRAIN_FLAGS, steps.at(-1)!.args);
  checkTrainFlags(flags);
  checkNewRun(flags);
  assert.equal(flags.train_pairs_meta_file, join("out", "train.json"));
  assert.equal(flags.test_pairs_meta_file, join("out", "test.json"));
  assert.equal(flags.epochs, DEMO_SIZE.epochs);
});

Deno.test("demo announces as much time as the README does", async () => {
  const file = await Deno.makeTempFile(); // in its place no folder can be made
  const { code, stdout } = await runCommand("demo", ["--output", file]);
  assert.equal(code, 1);
  const readme = await Deno.readTextFile(new URL("../../README.md", import.meta.url));
  for (const text of [stdout, readme]) assert.match(text, /two\s+to\s+three\s+minutes/);
  await Deno.remove(file);
});

Deno.test("evaluationStep() asks for the network that was trained", () => {
  const train = trainingSteps("out", DEMO_SIZE).at(-1)!.args;
  const { args } = evaluationStep("out", "out/runs/x");
  for (const flag of ["--weights", "--depth", "--img_size", "--test_pairs_meta_file"]) {
    assert.equal(args[args.indexOf(flag) + 1], train[train.indexOf(flag) + 1], flag);
  }
  assert.equal(args[args.indexOf("--adapter") + 1], join("out/runs/x", "final"));
});

Deno.test("commandLine() can be pasted into a shell", () => {
  for (const step of trainingSteps("my out", DEMO_SIZE)) {
    const line = commandLine(step);
    assert(line.split("\n").every((part) => part.length <= 100), line);
    const { stdout } = new Deno.Command("sh", {
      args: ["-c", `deno() { printf '%s\\n' "$@"; }\n${line}`],
    }).outputSync();
    const words = new TextDecoder().decode(stdout).trimEnd().split("\n");
    assert.deepEqual(words, ["task", step.name, ...step.args]);
  }
});

Deno.test("REGIONS have ground to train and to test on that no two pictures share", () => {
  const { rows, columns } = DEMO_SIZE;
  const bottom = 100 * rows + 200; // with a margin of 100 m on either side, as is each area
  const edge = 100 * columns.train + 200;
  const right = edge + 100 * columns.test + 200;
  for (const [name, source] of Object.entries(REGIONS)) {
    for (const [split, west, east] of [["train", 0, edge], ["test", edge, right]] as const) {
      const tiles = tilesOf(source, DEMO_SIZE, split);
      const shots = shotsOf(source, DEMO_SIZE, split, tiles);
      assert.equal(shots.length, DEMO_SIZE.passes[split] * tiles.length);
      const corners = [
        ...tiles.map(({ left, top, side }) => [left, top, left + side, top + side] as const),
        ...shots.map(({ camera }) => {
          const footprint = footprintOf(camera, source.photo);
          const [xs, ys] = [footprint.map(([x]) => x), footprint.map(([, y]) => y)];
          return [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)] as const;
        }),
      ];
      for (const [x0, y0, x1, y1] of corners) {
        const isInside = x0 >= west && x1 <= east && y0 >= 0 && y1 <= bottom;
        assert(isInside, `${name}, ${split}: ${x0} to ${x1}, ${y0} to ${y1}`);
      }
      for (const { camera } of shots) {
        const [best] = matchesOf(footprintOf(camera, source.photo), tiles);
        assert(best!.weight > 0.39, `${name}, ${split}: no positive, best is ${best?.weight}`);
      }
    }
  }
  const maps = Object.values(REGIONS).flatMap(({ maps }) => [maps.train, maps.test]);
  assert.equal(new Set(maps).size, 4);
});

Deno.test("REGIONS are seen from space in one season and from the air in another", () => {
  for (const { satellite, drone } of Object.values(REGIONS)) {
    assert.notEqual(satellite.season, drone.season);
  }
});

/** Leaves in the folder what an earlier demo, of another version, could have left. */
async function leaveOld(folder: string): Promise<void> {
  const replaced = ["after.json", "train.json", "north/satellite/02_5_000_000.png"];
  const kept = ["north/satellite/02_5_900_900.png", "runs/vits16/0101000000/last/trainer.json"];
  for (const path of [...replaced, ...kept].map((name) => join(folder, name))) {
    await Deno.mkdir(dirname(path), { recursive: true });
    await Deno.writeTextFile(path, "old");
  }
}

Deno.test({
  name: "the demo goes from a used folder to a report, and leaves the rest of the disk alone",
  ignore: GPU_OFF,
  fn: async () => {
    const outside = await Deno.makeTempDir();
    const folder = join(await Deno.makeTempDir(), "demo");
    await Deno.writeTextFile(join(outside, "secret"), "");
    await leaveOld(folder);
    const permissions = project.tasks.demo.split(" ").filter((word) => word.startsWith("--"));
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: [
        ...["run", "--quiet", ...permissions, "--allow-env=OUTSIDE", `--preload=${ATTEMPTS}`],
        ...[CHILD, folder, JSON.stringify(TINY)],
      ],
      env: { OUTSIDE: outside, SECRET: "" },
    }).output();
    const [text, errors] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
    assert.equal(code, 0, errors);
    const shown = [...text!.matchAll(/^\$ deno task (\w+)/gm)].map(([, name]) => name);
    assert.deepEqual(shown, ["merge", "merge", "weights", "train", "eval"]);
    // What it could do at its end beyond its folder: nothing.
    const attempts = Object.values(JSON.parse(/^attempts: (.*)$/m.exec(errors!)![1]!));
    assert.deepEqual([...new Set(attempts)], ["NotCapable"], errors);

    const { before, after, run } = JSON.parse(text!.trimEnd().split("\n").at(-1)!);
    // Two regions with 2 x 2 tiles and one tile of twice the side, each photographed once.
    for (const { queries, gallery } of [before, after]) {
      assert.deepEqual([queries, gallery], [10, 10]);
    }
    assert.notEqual(before["AP"], after["AP"]);
    assert(existsSync(join(run, "report.html")), "there is no report");
    assert(existsSync(join(folder, "north", "map.jpg")), "there is no map");
    // The last evaluation of the training and that of eval are of the same adapter.
    const lines = text!.split("\n").filter((line) => line.startsWith("[OVERALL]"));
    assert.deepEqual(lines.slice(-3), lines.slice(-6, -3));
    for (const path of [outside, join(folder, "..")]) await Deno.remove(path, { recursive: true });
  },
});
