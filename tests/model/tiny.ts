/**
 * A model that is small enough for tests: one block of a ViT with random weights, adapters that
 * have seen some training, images of six patches.
 *
 * @module
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { closeGpu, type Gpu, openGpu } from "../../kernels/gpu.ts";
import { type Adapter, encodeAdapter } from "../../model/adapter.ts";
import { modelConfig, type ViTConfig } from "../../model/config.ts";
import { randomBackbone } from "../../model/hash_rule.ts";
import { type AdapterOptions, initialAdapter, LORA_TARGETS } from "../../model/init.ts";
import {
  createTrainer,
  type StepResult,
  type Trainer,
  type TrainerOptions,
} from "../../model/trainer.ts";
import { type Backbone, backboneOfTensors } from "../../model/weights.ts";
import { denoOptions, type GpuTestOptions, uniform } from "../testing.ts";

/** Image size in pixels. */
export const HEIGHT = 32;
export const WIDTH = 48;

/** Bytes of an image. */
export const IMAGE = HEIGHT * WIDTH * 3;

/** Pairs a step. */
export const PAIRS = 3;

/** The first blocks of the smallest backbone, or of another. */
export function tinyConfig(depth = 1, model = "vits16"): ViTConfig {
  return modelConfig(model, { depth });
}

/** Random weights. */
export function tinyBackbone(config: ViTConfig = tinyConfig()): Backbone {
  return backboneOfTensors(randomBackbone(config, 0), config);
}

/** An adapter of rank 3, which is padded, on every layer, with a head. */
export function tinyAdapter(
  config: ViTConfig = tinyConfig(),
  options: Partial<AdapterOptions> = {},
): Adapter {
  const adapter = initialAdapter(config, {
    rank: 3,
    alpha: 6,
    dropout: 0,
    targets: LORA_TARGETS,
    head: { hidden: 16, embedDim: 8 },
    seed: 1,
    ...options,
  });
  // B starts at zero, where A has no gradient: give it values of the size of the weights.
  adapter.modules.forEach(({ loraB }, i) => loraB.set(uniform(loraB.length, i).map((x) => x / 16)));
  return adapter;
}

/** Random images, u8 RGB. */
export function tinyPixels(images: number, seed: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(uniform(images * IMAGE, seed), (x) => 127.5 * (x + 1));
}

/** A trainer of the tiny model. */
export function tinyTrainer(gpu: Gpu, options: Partial<TrainerOptions> = {}): Promise<Trainer> {
  const backbone = options.backbone ?? tinyBackbone();
  return createTrainer(gpu, {
    backbone,
    adapter: tinyAdapter(backbone.config),
    precision: "f32",
    height: HEIGHT,
    width: WIDTH,
    pool: "avg",
    batchSize: PAIRS,
    weightDecay: 0.01,
    clipValue: 0,
    clipNorm: 0,
    seed: 1,
    ...options,
  });
}

/** Label smoothing of every pair of a step. */
export const SMOOTHING: Float32Array<ArrayBuffer> = Float32Array.of(0.1, 0, 0.3);

/** Trains on a batch of random images, another one each step; may fetch the results before it. */
export function tinyStep(trainer: Trainer, lr = 1e-3, fetch = false): Promise<StepResult[]> {
  trainer.write(tinyPixels(2 * PAIRS, trainer.step), SMOOTHING);
  return trainer.takeStep(lr, { fetch });
}

/** A short text that differs where a bit does: the differences of large arrays take minutes to print. */
export function bitsOf(...values: (Float32Array | Adapter)[]): string {
  const hash = createHash("sha256");
  for (const value of values) {
    const parts = value instanceof Float32Array
      ? [new Uint8Array(value.buffer, value.byteOffset, value.byteLength)]
      : encodeAdapter(value).values();
    for (const part of parts) hash.update(part);
  }
  return hash.digest("hex").slice(0, 16);
}

/** Buffers that are not freed; `gpu.memory` does not count those that results are read from. */
const buffers = new Set<GPUBuffer>();
const { createBuffer } = GPUDevice.prototype;
GPUDevice.prototype.createBuffer = function (descriptor) {
  const buffer = createBuffer.call(this, descriptor);
  buffers.add(buffer);
  return buffer;
};
const { destroy } = GPUBuffer.prototype;
GPUBuffer.prototype.destroy = function () {
  buffers.delete(this);
  destroy.call(this);
};

let shared: Gpu | null = null;

/** As `gpuTest`, but the tests of a file share a device: compiling the model takes seconds. */
export function modelTest(test: GpuTestOptions, fn: (gpu: Gpu) => Promise<void>): void {
  Deno.test({
    ...denoOptions(test),
    fn: async () => {
      shared ??= await openGpu();
      const before = { bytes: shared.memory.current, buffers: buffers.size };
      await fn(shared);
      const after = { bytes: shared.memory.current, buffers: buffers.size };
      assert.deepEqual(after, before, "what the test has not freed");
    },
  });
}

Deno.test.afterAll(() => {
  if (shared) closeGpu(shared);
});
