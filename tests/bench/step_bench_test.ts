import assert from "node:assert/strict";
import { sum } from "../../bench/measure.ts";
import { benchPixels, type StepOptions, trainerOptions, writeBatch } from "../../bench/model.ts";
import { Report } from "../../bench/report.ts";
import {
  agreement,
  benchStep,
  firstStep,
  groupTimes,
  type RunResults,
  sampleEmbedding,
  sampleStep,
  timeEmbeddings,
  timeSteps,
} from "../../bench/step_bench.ts";
import { modelConfig } from "../../model/config.ts";
import { createEmbedder } from "../../model/embedder.ts";
import { createTrainer, type Trainer } from "../../model/trainer.ts";
import { gpuTest } from "../testing.ts";

Deno.test("groupTimes() puts every label in one group", () => {
  const labels = {
    "lora_A forward": "LoRA",
    "lora gradients (join)": "LoRA",
    "attention_backward_kv": "attention",
    "attn.qkv forward": "linear",
    "mlp.fc1_x backward": "linear",
    "patch_embed": "linear",
    "layer_norm_backward": "norm",
    "head gradients": "head, loss",
    "info_nce_lse": "head, loss",
    "grad_stats": "AdamW",
    "tokens": "other",
  };
  for (const [label, group] of Object.entries(labels)) {
    const times = groupTimes([{ label, calls: 1, ms: 3, flops: 0, bytes: 0 }]);
    assert.deepEqual([...times].filter(([, ms]) => ms > 0), [[group, 3]], label);
  }
});

const GROUPS = groupTimes([]).keys().toArray();

gpuTest({
  name: "benchStep() measures steps and embeddings that agree",
  needs: ["timestamps"],
}, async (gpu) => {
  const report = new Report(gpu, () => {});
  const plain = { precision: "f32", dropout: 0, checkpointing: false } as const;
  const [checked, agree] = [[] as string[], agreement()];
  await benchStep(gpu, report, {
    ...{ config: modelConfig("vits16", { depth: 2 }), size: 32, pairs: 2, rank: 8, rounds: 1 },
    variants: [plain, { ...plain, checkpointing: true }, { ...plain, dropout: 0.1 }],
  }, (results, { dropout }) => {
    checked.push(`${results.moments ? "step" : "embedding"} ${dropout}`);
    agree(results, { dropout });
  });
  assert.deepEqual(checked, ["step 0", "step 0", "step 0.1", "embedding 0"]);
  const rows = report.rows("step") as Record<string, number>[];
  assert.deepEqual(rows.map(({ work, dropout }) => `${work} ${dropout}`), [
    "step 0",
    "step, checkpointing 0",
    "step 0.1",
    "embedding 0",
  ]);
  for (const row of rows) {
    const sum = GROUPS.reduce((total, group) => total + row[`${group} ms`]!, 0);
    assert(Math.abs(sum - row["kernel ms"]!) <= 1e-6 * sum, "groups add up to the kernels");
    assert(row["images/s"]! > 0 && row["GPU MiB"]! > 0 && row["GB"]! > 0);
  }
  const memory = rows.map((row) => row["GPU MiB"]!);
  assert(memory[1]! < memory[0]! && memory[3]! < memory[1]!);
  for (const row of rows.slice(0, 3)) {
    const share = row["GPU MiB"]! / row["by formula"]!;
    assert(share > 0.9 && share < 1.1, `memory is ${share} of the formula`);
  }
  assert(rows[0]!["AdamW ms"]! > 0 && rows[3]!["AdamW ms"] === 0);
});

Deno.test("agreement() lets only runs pass that give what the first gave", () => {
  const plain = { dropout: 0 };
  const run = (embedding: number, moment: number | null) => ({
    embeddings: Float32Array.of(1, embedding),
    moments: moment === null ? null : Float32Array.of(1, moment),
  });
  const agree = agreement();
  agree(run(1, 1), plain);
  agree(run(1.01, 1.05), plain);
  agree(run(1.01, null), plain); // an embedder
  agree(run(1.5, 1.5), { dropout: 0.1 });
  for (const wrong of [run(1.1, 1), run(1, 1.1), run(NaN, 1), run(1, NaN), run(1.1, null)]) {
    assert.throws(() => agree(wrong, plain), RangeError);
  }
  assert.throws(() => agree(run(1, 3), { dropout: 0.1 }), RangeError);
  assert.throws(() => agreement()(run(1, NaN), plain), RangeError);

  const single = agreement();
  const still = { embeddings: Float32Array.of(1), moments: Float32Array.of(0) };
  single(still, plain);
  single(still, { dropout: 0.1 });
  for (const moment of [1, NaN]) {
    const moved = { ...still, moments: Float32Array.of(moment) };
    assert.throws(() => single(moved, plain), /the loss of a single pair is 0/);
  }
});

Deno.test("firstStep() halves the loss scale until nothing overflows, but not for ever", async () => {
  let taken = 0;
  const trainer = (overflows: number) => {
    taken = 0;
    const results = () => Promise.resolve([{ loss: 1, skipped: taken <= overflows }]);
    return {
      full: false,
      write() {},
      takeStep: () => Promise.resolve(taken++),
      results,
    } as unknown as Trainer;
  };
  const options = { pairs: 1, size: 16 };
  assert((await firstStep(trainer(0), options)).ms >= 0);
  assert.equal(taken, 1);
  await firstStep(trainer(16), options);
  assert.equal(taken, 17);
  await assert.rejects(firstStep(trainer(17), options), /^RangeError: .*: 17 in a row overflowed$/);
});

gpuTest({
  name: "sampleStep() and sampleEmbedding() check what they time, before they time it",
  needs: ["timestamps"],
}, async (gpu) => {
  const config = modelConfig("vits16", { depth: 1 });
  const options = { config, precision: "f32", size: 32, pairs: 2, rank: 8 } as const;
  const seen: RunResults[] = [];
  const refuse = (results: RunResults) => {
    seen.push(results);
    throw new RangeError("wrong");
  };
  const before = gpu.memory.current;
  const step = { ...options, dropout: 0, checkpointing: false };
  await assert.rejects(sampleStep(gpu, step, refuse), /^RangeError: wrong$/);
  await assert.rejects(sampleEmbedding(gpu, options, refuse), /^RangeError: wrong$/);
  assert.equal(gpu.memory.current, before);
  assert.equal(seen.length, 2);
  assert.deepEqual(seen.map(({ embeddings }) => embeddings.length), [4 * 256, 4 * 256]);
  assert(seen[0]!.moments!.some((moment) => moment !== 0));
  assert.equal(seen[1]!.moments, null);
});

gpuTest({
  name: "timeSteps() and timeEmbeddings() take the time of work that follows on work",
  needs: ["timestamps"],
}, async (gpu) => {
  const config = modelConfig("vits16", { depth: 1 });
  const options: StepOptions = {
    ...{
      config,
      precision: "f32",
      size: 32,
      pairs: 1,
      rank: 8,
      dropout: 0,
      checkpointing: false,
    },
  };
  const trainer = await createTrainer(gpu, trainerOptions(options));
  const { network, trainables } = trainer;
  const embedder = await createEmbedder(gpu, { network, trainables, pool: "avg", images: 2 });
  writeBatch(trainer, options);
  await trainer.profile(0); // compiles
  const step = await timeSteps(trainer, options);
  const stepKernels = sum(await trainer.profile(0));
  const embedding = await timeEmbeddings(embedder, benchPixels(2, 32));
  const embeddingKernels = sum(await embedder.profile());
  // The fastest of a second of them against one: apart where the machine is busy, but not as if what
  // is queued were done, or the time of eight were that of one.
  for (const [{ wall }, ms] of [[step, stepKernels], [embedding, embeddingKernels]] as const) {
    assert(wall > ms / 4 && wall < 4 * ms + 25, `${wall} ms, kernels ${ms}`);
  }
  assert(step.encode! > 0);
  assert.deepEqual(await trainer.results(), [], "nothing is left behind");
  embedder.destroy();
  trainer.destroy();
});

Deno.test("benchPixels() gives every picture a colour of its own", () => {
  for (const [images, size] of [[4, 32], [1, 64], [4, 32]] as const) {
    const pixels = benchPixels(images, size);
    assert.equal(pixels.length, images * size ** 2 * 3);
    const colours = Array.from({ length: images }, (_, image) => {
      const own = pixels.subarray(image * size ** 2 * 3, (image + 1) * size ** 2 * 3);
      return own.filter((_, i) => i % 3 === 0).reduce((sum, value) => sum + value, 0) / size ** 2;
    });
    assert.equal(new Set(colours.map((colour) => Math.round(colour / 4))).size, images);
  }
});
