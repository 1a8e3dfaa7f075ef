/** The whole job in processes of its own: train, evaluate, embed, evaluate the embeddings. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { readAdapter } from "../../model/adapter.ts";
import { readSafetensors, writeSafetensors } from "../../model/safetensors.ts";
import { scheduleFactor } from "../../model/schedule.ts";
import { GPU_OFF } from "../testing.ts";
import { type Outcome, runCommand } from "./command.ts";
import { pair, tinyFlags, tinyWeights, writeTinyWorld } from "./tiny_world.ts";

const resultLines = ({ stdout }: Outcome) =>
  stdout.split("\n").filter((line) => line.startsWith("["));

async function succeed(name: string, args: string[]): Promise<Outcome> {
  const outcome = await runCommand(name, args);
  assert.equal(outcome.code, 0, outcome.stderr);
  return outcome;
}

/** The run's folder, from what the command said at its end. */
function runFolder({ stderr }: Outcome): string {
  return /^finished: (.*)[/\\]final$/m.exec(stderr)![1]!;
}

/** The metrics file without what depends on the clock. */
async function metricsOf(run: string): Promise<Record<string, unknown>[]> {
  const text = await Deno.readTextFile(join(run, "metrics.jsonl"));
  return text.trim().split("\n").map((line) => {
    const { images_per_s: _, ...rest } = JSON.parse(line);
    return rest;
  });
}

/** Its lines of steps. */
async function stepsOf(run: string) {
  const lines = await metricsOf(run) as { epoch: number; loss?: number; lr: number }[];
  return lines.filter(({ loss }) => loss !== undefined);
}

Deno.test({
  name: "train, eval and embed agree with each other and with themselves",
  ignore: GPU_OFF,
  fn: async (t) => {
    const folder = await Deno.makeTempDir();
    await writeTinyWorld(folder, 8);
    const flags = [
      ...tinyFlags(folder),
      ...["--test_pairs_meta_file", "pairs.json", "--with_weight", "--global_pool", "token"],
      "--altitude_crop",
      ...["--lora_dropout", "0", "--lr", "2e-2"], // adapters are merged, and ranks tell that they are
    ];
    const first = await succeed("train", flags);
    const run = runFolder(first);
    const lines = resultLines(first);

    await t.step("train prints zero-shot lines, lines an epoch, and writes its files", async () => {
      assert.equal(lines.filter((line) => line.startsWith("[OVERALL] Queries: 8, R@1:")).length, 3);
      assert.match(first.stdout, /^Epoch: 2, Train Loss = \d/m);
      assert.match(first.stderr, /images\/s/);
      for (
        const file of ["config.json", "log.txt", "metrics.jsonl", "final", "last", "best_overall"]
      ) {
        assert(existsSync(join(run, file)), `${file} is missing`);
      }
      const warning = "warning: altitude_crop passes over 8 of 8 entries, which have no altitude";
      assert.match(first.stderr, new RegExp(`^${warning}`, "m"));
      assert((await Deno.readTextFile(join(run, "log.txt"))).includes(warning));
      assert.equal((await stepsOf(run)).length, 4);
    });

    await t.step("train warms up and cools down by the step of the run", async () => {
      const schedule = { schedule: "cosine", warmup: 1, total: 4 } as const; // half of 2 steps
      const expected = [0, 1, 2, 3].map((step) => 2e-2 * scheduleFactor(step, schedule));
      assert.deepEqual((await stepsOf(run)).map(({ lr }) => lr), expected);
    });

    await t.step("train prints the mean loss of each epoch", async () => {
      const steps = await stepsOf(run);
      for (const epoch of [0, 1]) {
        const [a, b] = steps.filter((step) => step.epoch === epoch).map(({ loss }) => loss);
        const mean = ((a! + b!) / 2).toFixed(4);
        assert(first.stdout.includes(`Epoch: ${epoch + 1}, Train Loss = ${mean}\n`), mean);
      }
    });

    await t.step("train keeps the precision that it chose, for whoever resumes", async () => {
      const [, chosen] = /^adapter: .*, (f32|f16)$/m.exec(first.stderr)!;
      const json = async (name: string) => JSON.parse(await Deno.readTextFile(join(run, name)));
      assert.equal((await json("last/trainer.json")).flags.precision, chosen);
      assert.equal((await json("config.json")).precision, chosen);
      const again = ["--resume", run, "--precision", "auto"]; // the same command
      const { stderr } = await succeed("train", again);
      assert.match(stderr, /^resumed after 4 of 4 steps$/m);
    });

    await t.step(
      "train goes on with a test file that has moved, not with another one",
      async () => {
        const moved = join(folder, "moved.json");
        await Deno.copyFile(join(folder, "pairs.json"), moved);
        const resume = ["--resume", run, "--test_pairs_meta_file", moved];
        await succeed("train", resume);
        await Deno.writeTextFile(moved, JSON.stringify([pair("0.jpg", "0.jpg")]));
        const { code, stderr } = await runCommand("train", resume);
        assert.equal(code, 1);
        assert.match(
          stderr,
          /^error: Cannot resume: the test pairs have changed since the run began/m,
        );
      },
    );

    await t.step("train outlives a test picture that cannot be read", async () => {
      const broken = join(folder, "satellite/broken.jpg");
      await Deno.writeFile(
        broken,
        (await Deno.readFile(join(folder, "satellite/0.jpg"))).slice(0, 600),
      );
      await Deno.writeTextFile(
        join(folder, "broken.json"),
        JSON.stringify([pair("0.jpg", "broken.jpg")]),
      );
      const test = ["--test_pairs_meta_file", "broken.json"];
      const late = await succeed("train", [...flags, ...test, "--no_zero_shot"]);
      for (const epoch of [1, 2]) {
        const words = `^warning: no evaluation after epoch ${epoch}: Cannot decode .*broken.jpg`;
        assert.match(late.stderr, new RegExp(words, "m"));
      }
      const early = await runCommand("train", [...flags, ...test]);
      assert.equal(early.code, 1, "before the first step it is the user's to mend");
    });

    await t.step(
      "train keeps the first adapter of the best recall, not the untrained",
      async () => {
        const file = join(folder, "one.json"); // any adapter finds one of one
        await Deno.writeTextFile(file, JSON.stringify([pair("0.jpg", "0.jpg")]));
        const easy = ["--test_pairs_meta_file", file, "--depth", "1"];
        const whole = ["--precision", "f32"]; // no step is skipped
        const path = runFolder(await succeed("train", [...flags, ...easy, ...whole]));
        const [best, final] = await Promise.all(
          ["best_overall", "final"].map((name) => readAdapter(join(path, name))),
        );
        assert(best!.modules.every(({ loraB }) => loraB.some((x) => x !== 0)));
        assert.notDeepEqual(best!.modules[0]!.loraB, final!.modules[0]!.loraB); // after epoch 2
      },
    );

    await t.step("a second run with the same seed gives the same losses and weights", async () => {
      const second = runFolder(await succeed("train", flags));
      assert.notEqual(second, run);
      assert.deepEqual(await metricsOf(second), await metricsOf(run));
      const file = "final/adapter_model.safetensors";
      assert.deepEqual(
        await Deno.readFile(join(second, file)),
        await Deno.readFile(join(run, file)),
      );
    });

    // Side and pooling are those of the training.
    const model = [
      ...["--adapter", join(run, "final"), "--weights", join(folder, "weights.safetensors")],
      ...["--num_workers", "0"],
    ];
    const test = ["--test_pairs_meta_file", "pairs.json", "--data_root", folder];
    const last = lines.slice(-lines.length / 3);
    await t.step("eval of final/ in a fresh process prints the last lines of train", async () => {
      const json = join(folder, "metrics.json");
      const outcome = await succeed("eval", [...model, ...test, "--json", json]);
      assert.deepEqual(resultLines(outcome), last);
      assert.doesNotMatch(outcome.stderr, /^warning/m);
      const metrics = JSON.parse(await Deno.readTextFile(json));
      assert.equal(metrics.overall.queries, 8);
      assert.match(last[0]!, new RegExp(`R@1: ${metrics.overall["R@1"].toFixed(2)}%`));
    });

    await t.step("train --init_adapter begins where another run ended", async () => {
      const taken = join(folder, "taken");
      await Deno.rename(join(run, "final"), taken);
      const world = [
        ...["--train_pairs_meta_file", "pairs.json", ...test, "--model_path", join(folder, "runs")],
        ...["--weights", join(folder, "weights.safetensors"), "--num_workers", "1"],
      ];
      const given = [...world, "--batch_size", "4", "--max_steps", "1", "--init_adapter", taken];
      const next = await succeed("train", given);
      assert.deepEqual(resultLines(next).slice(0, last.length), last);
      assert.doesNotMatch(next.stderr, /^warning: the adapter/m);
      const config = JSON.parse(await Deno.readTextFile(join(runFolder(next), "config.json")));
      assert.deepEqual(
        [config.lora_r, config.embed_dim, config.img_size, config.global_pool, config.init_adapter],
        [4, 16, 32, "token", taken],
      );
      await Deno.rename(taken, join(run, "final")); // a resumed run has its own
      await succeed("train", ["--resume", runFolder(next)]);
    });

    await t.step("eval warns of weights that are not those of the training", async () => {
      const other = join(folder, "other.safetensors");
      await writeSafetensors(other, tinyWeights(7));
      const { stderr } = await succeed("eval", [...model, ...test, "--weights", other]);
      assert.match(stderr, /^warning: the adapter was trained on other weights of /m);
    });

    await t.step("eval of embeddings from embed prints them too, without a GPU", async () => {
      const file = join(folder, "embeddings.safetensors");
      await succeed("embed", [...model, ...test, "--output", file]);
      const outcome = await runCommand("eval", ["--embeddings", file, ...test], {
        DENO_WEBGPU_BACKEND: "none",
      });
      assert.equal(outcome.code, 0, outcome.stderr);
      assert.deepEqual(resultLines(outcome), last);
    });

    await t.step("eval and embed take a backbone as it is", async () => {
      const backbone = [
        ...["--model", "vits16", "--weights", join(folder, "weights.safetensors")],
        ...["--img_size", "32", "--num_workers", "0"],
      ];
      const outcome = await succeed("eval", [...backbone, ...test]);
      assert.match(resultLines(outcome)[0]!, /^\[OVERALL\] Queries: 8, /);
      const file = join(folder, "backbone.safetensors");
      await succeed("embed", [...backbone, ...test, "--output", file]);
      const tokens = (await readSafetensors(file)).tensors.get("query")!;
      assert.deepEqual(tokens.shape, [8, 384]);
      const again = await succeed("eval", ["--embeddings", file, ...test]);
      assert.deepEqual(resultLines(again), resultLines(outcome));
    });
    await Deno.remove(folder, { recursive: true });
  },
});

Deno.test("train refuses pairs that fill no batch, or have no pictures, before it opens a GPU", async () => {
  const folder = await Deno.makeTempDir();
  await writeTinyWorld(folder, 4);
  const [near, empty] = [join(folder, "near.json"), join(folder, "empty")];
  await Deno.mkdir(empty);
  const { pair_pos_sate_img_list: list, pair_pos_sate_weight_list: weights, ...rest } = pair(
    "0.jpg",
    "0.jpg",
  );
  const semi = { pair_pos_semipos_sate_img_list: list, pair_pos_semipos_sate_weight_list: weights };
  const entry = { ...rest, ...semi, pair_pos_sate_img_list: [], pair_pos_sate_weight_list: [] };
  await Deno.writeTextFile(near, JSON.stringify([entry]));
  const cases: [flags: string[], wanted: string][] = [
    [
      ["--batch_size", "5"],
      "Cannot make exclusive batches of 5 from 4 pairs: the largest found has 4, lower " +
      "--batch_size or use --sampling random",
    ],
    [
      ["--train_pairs_meta_file", near, "--train_mode", "pos"],
      `Cannot train on ${near}: its 1 entries make 0 pairs with --train_mode pos, expected 1 or more`,
    ],
    [
      // Nor is a batch too large for them what is wrong.
      [
        "--train_pairs_meta_file",
        join(folder, "pairs.json"),
        "--data_root",
        empty,
        "--batch_size=5",
      ],
      `Cannot find pictures in ${empty}: none of 8 that were tried is there, expected the data ` +
      "root of drone/0.jpg (its entry's data_root, else --data_root)",
    ],
  ];
  for (const [flags, wanted] of cases) {
    const noGpu = { DENO_WEBGPU_BACKEND: "none" };
    const { code, stderr } = await runCommand("train", [...tinyFlags(folder), ...flags], noGpu);
    assert.equal(stderr, `error: ${wanted}\n`);
    assert.equal(code, 1);
    assert(!existsSync(join(folder, "runs")), "a folder is made for a run that never began");
  }
  await Deno.remove(folder, { recursive: true });
});
