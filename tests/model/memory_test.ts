import assert from "node:assert/strict";
import { createEmbedder } from "../../model/embedder.ts";
import { largestPiece } from "../../model/network.ts";
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
import { gpuTest } from "../testing.ts";

const gated = tinyBackbone(tinyConfig(2, "vits16plus"));
const plain = tinyBackbone(tinyConfig(2));

/** Rank 128 in the first block, 4 in the second. */
const mixedRanks = (() => {
  const [wide, narrow] = [128, 4].map((rank) => tinyAdapter(plain.config, { rank, dropout: 0.1 }));
  const modules = [
    ...wide!.modules.filter(({ name }) => name.startsWith("blocks.0.")),
    ...narrow!.modules.filter(({ name }) => name.startsWith("blocks.1.")),
  ];
  return { ...wide!, modules };
})();

const cases: [name: string, options: Partial<TrainerOptions>][] = [
  ["plain", {}],
  ["of a gated MLP", { backbone: gated }],
  ["with dropout", { adapter: tinyAdapter(plain.config, { dropout: 0.1 }) }],
  ["with some layers", { adapter: tinyAdapter(plain.config, { targets: ["attn.qkv"], rank: 32 }) }],
  ["with some layers and dropout", {
    adapter: tinyAdapter(plain.config, { targets: ["attn.qkv"], rank: 32, dropout: 0.1 }),
  }],
  ["of a large rank", { adapter: tinyAdapter(plain.config, { rank: 128 }) }],
  ["of two ranks", { adapter: mixedRanks }],
  ["without a head", { adapter: tinyAdapter(plain.config, { head: null }) }],
  ["with checkpointing", { checkpointing: true }],
  ["in micro-batches", { microBatch: 2 }],
  ["in f16", { precision: "f16" }],
  ["of large images", { height: 128, width: 160, precision: "f16", checkpointing: true }],
];

for (const [name, changes] of cases) {
  for (const evalImages of [0, 4]) {
    modelTest(
      {
        name:
          `trainingMemory() is what training ${name} allocates, ${evalImages} images to evaluate`,
        needs: [changes.precision ?? "f32"],
      },
      async (gpu) => {
        const before = gpu.memory.current;
        const backbone = changes.backbone ?? plain;
        const adapter = changes.adapter ?? tinyAdapter(backbone.config);
        const trainer = await tinyTrainer(gpu, { backbone, adapter, ...changes });
        const { network, trainables } = trainer;
        const embedder = evalImages > 0 &&
          await createEmbedder(gpu, { network, trainables, pool: "avg", images: evalImages });
        const allocated = gpu.memory.current - before;
        const { total, textures } = trainingMemory(gpu, {
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
        const tensors = total - textures;
        assert(
          Math.abs(tensors - allocated) <= 2 ** 14,
          `${tensors} bytes foreseen, ${allocated} allocated`,
        );
      },
    );
  }
}

// Each with what needs the largest: attention, the head, the loss, the embedder.
const textured: [
  name: string,
  options: Partial<TrainerOptions>,
  adapter: Parameters<typeof tinyAdapter>[1],
][] = [
  ["in f32", {}, { rank: 64 }],
  ["in f16 with dropout", { precision: "f16" }, { rank: 64, dropout: 0.1 }],
  ["with a wide head", {}, { rank: 8, head: { hidden: 8192, embedDim: 512 } }],
  [
    "of embeddings wider than all else",
    { microBatch: 2, batchSize: 32 },
    { rank: 4, head: { hidden: 4, embedDim: 65_536 } },
  ],
  ["without a head", {}, { rank: 64, head: null }],
  ["of a small rank, in micro-batches", { microBatch: 2 }, { rank: 4 }],
  ["of a gated MLP", { backbone: gated }, { rank: 4 }],
  ["with one layer", {}, { rank: 4, targets: ["attn.qkv"] }],
];

for (const [name, changes, settings] of textured) {
  gpuTest({
    name: `trainingMemory() foresees the textures of a CPU adapter, ${name}`,
    needs: ["eightLanes", changes.precision ?? "f32"],
  }, async (gpu) => {
    const { backbone = plain } = changes;
    const adapter = tinyAdapter(backbone.config, settings);
    const sizes = { height: 224, width: 224, batchSize: 3 };
    const options = { ...sizes, ...changes, backbone, adapter };
    const trainer = await tinyTrainer(gpu, options);
    const { network, trainables } = trainer;
    await createEmbedder(gpu, { network, trainables, pool: "avg", images: 8 });
    const { textures } = trainingMemory(gpu, { precision: "f32", ...options, evalImages: 8 });
    assert(textures > 4 * 2 ** 20);
    assert.equal(gpu.memory.textures, textures);
  });
}

gpuTest("trainingMemory() takes no more images to evaluate than can be bound", (gpu) => {
  const { config } = plain;
  const adapter = tinyAdapter(config);
  const tokens = 1 + config.registers + HEIGHT * WIDTH / config.patch ** 2;
  const most = largestPiece(gpu, { config, tokens, precision: "f32" });
  const total = (evalImages: number) =>
    trainingMemory(gpu, {
      ...{ backbone: plain, adapter, precision: "f32", height: HEIGHT, width: WIDTH },
      ...{ batchSize: PAIRS, evalImages },
    }).total;
  assert.equal(total(most + 1000), total(most));
  assert(total(most) > total(most - 1));
  return Promise.resolve();
});
