import assert from "node:assert/strict";
import { type Gpu, readTensor, writeTensor } from "../../kernels/gpu.ts";
import { Plan, runPlans } from "../../kernels/plan.ts";
import { Sites } from "../../kernels/sites.ts";
import { Encoder } from "../../model/encoder.ts";
import { uploadNetwork } from "../../model/network.ts";
import { Trainables } from "../../model/trainables.ts";
import { relativeL2, uniform } from "../testing.ts";
import {
  HEIGHT,
  modelTest,
  tinyAdapter,
  tinyBackbone,
  tinyConfig,
  tinyPixels,
  WIDTH,
} from "./tiny.ts";

const IMAGES = 5; // no multiple of the pieces below

interface Variant {
  model?: string;
  rate?: number;
  merge?: boolean;
  checkpointing?: boolean;
  microBatch?: number;
  precision?: "f32" | "f16";
}

/** Pooled tokens and gradients of the adapters for one way of walking the same batch. */
async function walk(gpu: Gpu, variant: Variant) {
  const { model = "vit_small_patch16_dinov3", rate = 0, merge = false } = variant;
  const config = tinyConfig(2, model);
  const adapter = tinyAdapter(config, { rank: 6, alpha: 12, dropout: rate, head: null });
  const trainables = new Trainables(gpu, adapter, { training: true, trainLogitScale: false });
  const network = uploadNetwork(gpu, tinyBackbone(config), trainables, {
    precision: variant.precision ?? "f32",
    height: HEIGHT,
    width: WIDTH,
    merge,
  });
  const sites = new Sites(gpu, 100);
  const encoder = new Encoder(gpu, network, {
    images: IMAGES,
    pool: "avg",
    training: {
      checkpointing: variant.checkpointing ?? false,
      dropout: rate > 0 ? { rate, sites } : null,
    },
    ...(variant.microBatch && { microBatch: variant.microBatch }),
  });
  writeTensor(gpu, encoder.input, tinyPixels(IMAGES, 2));
  writeTensor(gpu, encoder.dPooled!, uniform(IMAGES * config.embedDim, 3));
  const plan = new Plan(gpu);
  encoder.recordMerge(plan);
  encoder.recordForward(plan);
  encoder.recordBackward(plan);
  sites.write(42, 7);
  await plan.ready();
  runPlans(gpu, [plan]);
  const gradients = await readTensor(gpu, trainables.training!.gradients);
  const result = {
    pooled: await readTensor(gpu, encoder.pooled),
    gradients: trainables.unpack(gradients),
  };
  encoder.destroy();
  network.destroy();
  trainables.destroy();
  sites.destroy();
  return result;
}

type Walk = Awaited<ReturnType<typeof walk>>;

function assertSame(actual: Walk, expected: Walk, tolerance: number): void {
  const pooled = relativeL2(actual.pooled, expected.pooled);
  assert(pooled <= tolerance, `pooled differs by ${pooled}`);
  for (const [name, gradient] of expected.gradients) {
    const error = relativeL2(actual.gradients.get(name)!, gradient);
    assert(error <= tolerance, `${name} differs by ${error}`);
  }
}

// The design's bound: the same sums in another order.
const SAME = 1e-5;
const pieces: Variant[] = [
  { checkpointing: true },
  { microBatch: 2 },
  { microBatch: 3, checkpointing: true },
];
for (const model of ["vit_small_patch16_dinov3", "vit_small_plus_patch16_dinov3"]) {
  modelTest(`Encoder of ${model} gives the same numbers however it walks`, async (gpu) => {
    const base = { model, rate: 0.3 };
    const expected = await walk(gpu, base);
    for (const variant of pieces) {
      assertSame(await walk(gpu, { ...base, ...variant }), expected, SAME);
    }
  });

  modelTest(`Encoder of ${model} gives the same numbers with merged adapters`, async (gpu) => {
    const expected = await walk(gpu, { model });
    assertSame(await walk(gpu, { model, merge: true }), expected, SAME);
    const both = await walk(gpu, { model, merge: true, microBatch: 2, checkpointing: true });
    assertSame(both, expected, SAME);
  });
}

modelTest({
  name: "Encoder gives the same numbers in f16, within its rounding",
  needs: ["f16"],
}, async (gpu) => {
  const base = { rate: 0.3, precision: "f16" } as const;
  const expected = await walk(gpu, base);
  for (const variant of pieces) {
    assertSame(await walk(gpu, { ...base, ...variant }), expected, 1e-2);
  }
  const plain = await walk(gpu, { precision: "f16" });
  assertSame(await walk(gpu, { precision: "f16", merge: true }), plain, 1e-2);
});

modelTest("Encoder drops inputs of the adapters in training", async (gpu) => {
  const [without, dropped] = [await walk(gpu, {}), await walk(gpu, { rate: 0.3 })];
  assert(relativeL2(dropped.pooled, without.pooled) > 1e-3);
});
