import type { Checkpoint } from "../../model/checkpoint.ts";
import { uniform } from "../testing.ts";

/** A checkpoint of 3 kB in all, other values for another step. */
export function smallCheckpoint(step: number): Checkpoint {
  const values = (count: number, seed: number) => uniform(count, 100 * step + seed);
  return {
    adapter: {
      modules: [{
        name: "blocks.0.attn.qkv",
        rank: 2,
        alpha: 4,
        loraA: values(8, 1),
        loraB: values(24, 2),
      }],
      head: {
        hidden: 4,
        embedDim: 4,
        weight1: values(16, 3),
        bias1: values(4, 4),
        weight2: values(16, 5),
        bias2: values(4, 6),
      },
      logitScale: 2.5,
      dropout: 0.1,
      rslora: false,
      baseModel: "vit_small_patch16_dinov3.lvd1689m",
      input: null,
    },
    optimiser: { step, m: values(80, 7), v: values(80, 8), scaler: values(8, 9) },
    progress: {
      step,
      epoch: 1,
      batch: 2,
      sampler: { epoch: 1, pairs: 40, carried: [3, 1] },
      best: { overall: 51.25, "2024-05-01": 12.5 },
      losses: { sum: 1.75, count: 2 },
      written: { log: 120, metrics: 480 },
      flags: { seed: 42, model: "vit_small_patch16_dinov3.lvd1689m", resume: null },
      inputs: { pairs: "a1", weights: "b2" },
    },
  };
}
