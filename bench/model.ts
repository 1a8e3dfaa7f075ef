/**
 * A model of random weights to measure: kernels take the same time whatever the numbers.
 *
 * @module
 */
import type { ViTConfig } from "../model/config.ts";
import { randomBackbone } from "../model/hash_rule.ts";
import { type AdapterOptions, initialAdapter, LORA_TARGETS } from "../model/init.ts";
import type { Adapter } from "../model/adapter.ts";
import type { Precision } from "../model/network.ts";
import type { Trainer, TrainerOptions } from "../model/trainer.ts";
import { type Backbone, backboneOfTensors } from "../model/weights.ts";

/** What sets one step apart from another. */
export interface StepOptions {
  config: ViTConfig;
  precision: Precision;
  /** Side of an image in pixels. */
  size: number;
  /** Pairs a step. */
  pairs: number;
  rank: number;
  /** 0: the adapters are merged. */
  dropout: number;
  checkpointing: boolean;
}

/** The head of the plain recipe. */
const HEAD: AdapterOptions["head"] = { hidden: 2048, embedDim: 256 };

const backbones = new Map<string, Backbone>();

/** A backbone of random weights, made once. */
export function benchBackbone(config: ViTConfig): Backbone {
  const key = `${config.name} ${config.depth}`;
  const found = backbones.get(key) ?? backboneOfTensors(randomBackbone(config, 1), config);
  backbones.set(key, found);
  return found;
}

/** A new adapter of the plain recipe: every layer, and the head. */
export function benchAdapter(
  config: ViTConfig,
  { rank, dropout }: { rank: number; dropout: number },
): Adapter {
  const shape = { rank, alpha: 2 * rank, targets: LORA_TARGETS, head: HEAD };
  return initialAdapter(config, { ...shape, dropout, seed: 1 });
}

/** The plain recipe, but for what is to be compared. */
export function trainerOptions(options: StepOptions): TrainerOptions {
  const { config, precision, size, pairs, rank, dropout, checkpointing } = options;
  return {
    ...{ precision, checkpointing, batchSize: pairs, height: size, width: size },
    ...{ pool: "avg", weightDecay: 0.01, clipValue: 100, clipNorm: 0, seed: 1 },
    backbone: benchBackbone(config),
    adapter: benchAdapter(config, { rank, dropout }),
  };
}

/** Hands a batch over, as a loader would. */
export function writeBatch(
  trainer: Trainer,
  { pairs, size }: Pick<StepOptions, "pairs" | "size">,
): void {
  trainer.write(benchPixels(2 * pairs, size), new Float32Array(pairs).fill(0.1));
}

const batches = new Map<string, Uint8Array<ArrayBuffer>>();

/** Pictures of noise, each in a colour of its own, made once. */
export function benchPixels(images: number, size: number): Uint8Array<ArrayBuffer> {
  const each = size ** 2 * 3;
  const key = `${images} of ${size}`;
  const half = (n: number, factor: number) => Math.imul(n, factor) >>> 25; // 0 to 127
  const colour = (i: number) => half(3 * Math.floor(i / each) + i % 3 + 1, 2246822519);
  const found = batches.get(key) ??
    Uint8Array.from({ length: images * each }, (_, i) => colour(i) + half(i, 2654435761));
  batches.set(key, found);
  return found;
}
