import assert from "node:assert/strict";
import { sum } from "../../bench/measure.ts";
import { benchPixels, type StepOptions, trainerOptions, writeBatch } from "../../bench/model.ts";
import { Report } from "../../bench/report.ts";
import { benchStep, groupTimes, timeEmbeddings, timeSteps } from "../../bench/step_bench.ts";
import { modelConfig } from "../../model/config.ts";
import { createEmbedder } from "../../model/embedder.ts";
import { createTrainer } from "../../model/trainer.ts";
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
  await benchStep(gpu, report, {
    ...{ config: modelConfig("vits16", { depth: 2 }), size: 32, pairs: 2, rank: 8, rounds: 1 },
    variants: [plain, { ...plain, checkpointing: true }, { ...plain, dropout: 0.1 }],
  });
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
