/**
 * Runs that are killed, stopped, damaged or short of room, then resumed: they must end as one that
 * was left alone.
 *
 * @module
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { GPU_OFF } from "../testing.ts";
import {
  faultFlags,
  LONG,
  runsOf,
  startTraining,
  theRun,
  type Traces,
  tracesOf,
  train,
  withWorld,
} from "./runs.ts";

const KILLS = LONG ? 25 : 3;

/** A world, and what a run leaves in it that nobody disturbed. */
interface World {
  folder: string;
  wanted: Traces;
  /** Time it took. */
  ms: number;
}

async function undisturbed(folder: string): Promise<World> {
  const start = performance.now();
  await train(faultFlags(folder, join(folder, "undisturbed")));
  const ms = performance.now() - start;
  const wanted = await tracesOf(theRun(join(folder, "undisturbed")));
  assert.equal(wanted.metrics.length, 18 + 3);
  assert.deepEqual(
    wanted.names.filter((name) => !name.startsWith("best_")),
    ["config.json", "final", "last", "last.old", "log.txt", "metrics.jsonl", "report.html"],
  );
  return { folder, wanted, ms };
}

/** Kills a run again and again until it ends; returns how often, and how often too early. */
async function killOften(
  { folder, wanted, ms }: World,
  { modelPath, most }: { modelPath: string; most: number },
): Promise<{ kills: number; early: number }> {
  let kills = 0;
  let early = 0;
  for (;;) {
    const isResumed = runsOf(modelPath).length > 0;
    const flags = faultFlags(folder, modelPath);
    const training = startTraining(isResumed ? [...flags, "--resume"] : flags);
    const timer = kills < most
      ? setTimeout(() => training.process.kill("SIGKILL"), Math.random() * ms)
      : undefined;
    const { code, signal, stderr } = await training.ended;
    clearTimeout(timer);
    if (signal === null) {
      assert.equal(code, 0, stderr);
      assert.deepEqual(await tracesOf(theRun(modelPath)), wanted);
      return { kills, early };
    }
    kills++;
    if (runsOf(modelPath).length === 0) early++;
  }
}

/** Stops a run after its first steps. */
async function stop(
  { folder, wanted }: World,
  { signal, code }: { signal: "SIGINT" | "SIGTERM"; code: number },
): Promise<void> {
  const modelPath = join(folder, signal);
  const flags = faultFlags(folder, modelPath);
  const training = startTraining(flags);
  await training.said("train ");
  training.process.kill(signal);
  const ended = await training.ended;
  assert.equal(ended.code, code, ended.stderr);
  const run = theRun(modelPath);
  const [, taken, saved] =
    /^error: Stopped after (\d+) steps; saved after (\d+) steps, go on with: /m
      .exec(ended.stderr)!;
  assert.equal(taken, saved);
  assert(ended.stderr.endsWith(`train --resume ${run}\n`), ended.stderr);
  await train(["--resume", run]);
  assert.deepEqual(await tracesOf(run), wanted);
}

/** Cuts a file of the newest checkpoint short. */
async function damage({ folder, wanted }: World): Promise<void> {
  const modelPath = join(folder, "damaged");
  const training = startTraining(faultFlags(folder, modelPath));
  await training.said("train ");
  training.process.kill("SIGTERM");
  await training.ended;
  const run = theRun(modelPath);
  const path = join(run, "last", "adapter_model.safetensors");
  await Deno.truncate(path, 1000);
  const stderr = await train(["--resume", "--model_path", modelPath]);
  const line = `warning: Cannot load ${path}: it has 1000 bytes`;
  assert(stderr.split("\n").some((each) => each.startsWith(line)), stderr);
  assert.deepEqual(await tracesOf(run), wanted);
}

/** Mounts a file system of 8 MB in memory; null where that is not permitted. */
async function mountSmallDisk(folder: string): Promise<{ unmount(): Promise<void> } | null> {
  await Deno.mkdir(folder);
  const run = async (command: string, args: string[]) => {
    const options = { args, stdout: "null", stderr: "null" } as const;
    return (await new Deno.Command(command, options).output()).success;
  };
  const isMounted = await run("mount", ["-t", "tmpfs", "-o", "size=8m", "tmpfs", folder])
    .catch(() => false);
  if (!isMounted) return null;
  return {
    async unmount() {
      assert(await run("umount", [folder]));
    },
  };
}

/** Takes all the room that is left where `path` is. */
function fill(path: string): void {
  using file = Deno.openSync(path, { write: true, create: true });
  for (let size = 2 ** 20; size >= 1;) {
    try {
      file.writeSync(new Uint8Array(size));
    } catch {
      size /= 2;
    }
  }
}

/** Fills the disk of a run after its first checkpoint, for a while or to its end. */
async function fillDisk(
  { folder, wanted }: World,
  { modelPath, forGood }: { modelPath: string; forGood: boolean },
): Promise<void> {
  const ballast = join(modelPath, "..", "ballast");
  const training = startTraining(faultFlags(folder, modelPath));
  await training.said("trained: ");
  while (runsOf(modelPath).length === 0) await new Promise((resolve) => setTimeout(resolve, 1));
  fill(ballast);
  if (forGood) {
    const { code, stderr } = await training.ended;
    assert.equal(code, 1, stderr);
    const [error] = /^error: .*/m.exec(stderr)!;
    assert.match(error, /Cannot write .*: No space left on device.*; saved after \d+ steps, go on/);
    await Deno.remove(ballast);
    await train(["--resume", theRun(modelPath)]);
  } else {
    await training.said("warning: cannot save after ");
    await Deno.remove(ballast);
    const { code, stderr } = await training.ended;
    assert.equal(code, 0, stderr);
    assert.match(stderr, /No space left on device.*; training goes on, \d+ steps are saved$/m);
  }
  assert.deepEqual(await tracesOf(theRun(modelPath)), wanted);
}

Deno.test({
  name: "a disturbed run ends as one that was left alone",
  ignore: GPU_OFF,
  fn: (t) =>
    withWorld(async (folder) => {
      const world = await undisturbed(folder);

      await t.step(`killed ${KILLS} times at random moments`, async () => {
        let kills = 0;
        let early = 0;
        for (let run = 0; kills < KILLS; run++) {
          const modelPath = join(folder, `killed${run}`);
          const found = await killOften(world, { modelPath, most: KILLS - kills });
          kills += found.kills;
          early += found.early;
        }
        console.log(
          `${kills} of ${KILLS} kills: losses and weights are those of the undisturbed run; ` +
            `${early} kills were before the first checkpoint`,
        );
      });
      await t.step("stopped by Ctrl-C", () => stop(world, { signal: "SIGINT", code: 130 }));
      await t.step("stopped by SIGTERM", () => stop(world, { signal: "SIGTERM", code: 143 }));
      await t.step("resumed from the checkpoint before a damaged one", () => damage(world));

      const disk = await mountSmallDisk(join(folder, "disk"));
      for (const forGood of [false, true]) {
        await t.step({
          name: `on a disk that is full ${forGood ? "to the end" : "for a while"}`,
          ignore: disk === null, // mounting one needs root
          fn: () => {
            const modelPath = join(folder, "disk", `runs_${forGood}`);
            return fillDisk(world, { modelPath, forGood });
          },
        });
      }
      await disk?.unmount();
    }),
});
