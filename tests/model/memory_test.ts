import assert from "node:assert/strict";
import { createEmbedder } from "../../model/embedder.ts";
import { trainingMemory } from "../../model/memory.ts";
import type { TrainerOptions } from "../../model/trainer.ts";
import {
  HEIGHT,
  modelTest,
  PAIRS,
  tinyAdapter,
  tinyBackbone,
  tinyConfig,
  tinyTrainer,
  WIDTH,
} from "./tiny.ts";

const gated = tinyBackbone(tinyConfig(2, "vits16plus"));
const plain = tinyBackbone(tinyConfig(2));

const cases: [name: string, options: Partial<TrainerOptions>][] = [
  ["plain", {}],
  ["of a gated MLP", { backbone: gated }],
  ["with dropout", { adapter: tinyAdapter(plain.config, { dropout: 0.1 }) }],
  ["with some layers", { adapter: tinyAdapter(plain.config, { targets: ["attn.qkv"], rank: 32 }) }],
  ["without a head", { adapter: tinyAdapter(plain.config, { head: null }) }],
  ["with checkpointing", { checkpointing: true }],
  ["in micro-batches", { microBatch: 2 }],
  ["in f16", { precision: "f16" }],
  ["of large images", { height: 128, width: 160, precision: "f16", checkpointing: true }],
];

for (const [name, changes] of cases) {
  for (const evalImages of [0, 4]) {
    modelTest(
      `trainingMemory() is what training ${name} allocates, ${evalImages} images to evaluate`,
      async (gpu) => {
        const before = gpu.memory.current;
        const backbone = changes.backbone ?? plain;
        const adapter = changes.adapter ?? tinyAdapter(backbone.config);
        const trainer = await tinyTrainer(gpu, { backbone, adapter, ...changes });
        const { network, trainables } = trainer;
        const { head } = adapter;
        const embedder = evalImages > 0 &&
          await createEmbedder(gpu, { network, trainables, head, pool: "avg", images: evalImages });
        const allocated = gpu.memory.current - before;
        const { total } = trainingMemory(gpu, {
          precision: "f32",
          height: HEIGHT,
          width: WIDTH,
          batchSize: PAIRS,
          ...changes,
          backbone,
          adapter,
          evalImages,
        });
        if (embedder) embedder.destroy();
        trainer.destroy();
        // What is left out are the tokens of the backbone, sums and settings, and what alignment adds.
        const error = Math.abs(total - allocated);
        assert(error <= 2 ** 14, `${total} bytes foreseen, ${allocated} allocated`);
      },
    );
  }
}
