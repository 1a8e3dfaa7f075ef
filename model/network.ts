/**
 * The frozen backbone and the adapters on the GPU, as the layers that `block.ts` runs.
 *
 * @module
 */
import {
  createTensor,
  destroyTensor,
  type DType,
  elementBytes,
  type Gpu,
  type Tensor,
  uploadTensor,
} from "../kernels/gpu.ts";
import { ropeTable } from "../kernels/rope.ts";
import { loraScaling } from "./adapter.ts";
import { parameterShapes, prefixTokens, type ViTConfig } from "./config.ts";
import type { Linear, Lora } from "./linear.ts";
import type { Trainables } from "./trainables.ts";
import type { Backbone } from "./weights.ts";

/** Storage of weights and activations; sums are f32 in both. */
export type Precision = "f32" | "f16";

/** f16 where a GPU has it: a CPU adapter computes f16 no faster, and less exactly. */
export function bestPrecision(gpu: Gpu): Precision {
  return gpu.hasF16 && !gpu.isCpu ? "f16" : "f32";
}

/** Scale and shift of a layer norm, `(C)` f32 each. */
export interface NormWeights {
  weight: Tensor;
  bias: Tensor;
}

/** Layers of one block. */
export interface Block {
  norm1: NormWeights;
  qkv: Linear;
  proj: Linear;
  gamma1: Tensor;
  norm2: NormWeights;
  /** fc1, or fc1_g of a gated MLP. */
  fc1: Linear;
  /** fc1_x of a gated MLP, else null. */
  fc1x: Linear | null;
  fc2: Linear;
  gamma2: Tensor;
}

/** The whole backbone. */
export interface Network {
  config: ViTConfig;
  precision: Precision;
  /** Patches of this grid; images are height × width patches. */
  grid: { height: number; width: number };
  /** Tokens an image: class, registers, patches. */
  tokens: number;
  /** (C, 768) and (C). */
  patch: { weight: Tensor; bias: Tensor };
  /** `(5, C)` f32: class token and registers. */
  prefix: Tensor;
  blocks: Block[];
  norm: NormWeights;
  /** `(patches, 32)` f32. */
  rope: { cos: Tensor; sin: Tensor };
  /** f32 ones, as wide as the widest layer. */
  ones: Tensor;
  /** Frees all but the trainables. */
  destroy(): void;
}

/** Options of {@linkcode uploadNetwork}. */
export interface NetworkOptions {
  precision: Precision;
  /** Image size in pixels. */
  height: number;
  width: number;
  /** Keep W + s·B·A of every adapter, for runs without dropout. */
  merge: boolean;
}

/** Layers of a block in the order of the forward. */
export function linearsOf({ qkv, proj, fc1, fc1x, fc2 }: Block): Linear[] {
  return [qkv, proj, fc1, ...(fc1x ? [fc1x] : []), fc2];
}

/**
 * Uploads a backbone and hangs the adapters into its layers.
 *
 * @throws {RangeError} If the image is not made of whole patches, an adapter names a layer that the
 *   backbone does not have, or the precision is f16 and the GPU has none.
 */
export function uploadNetwork(
  gpu: Gpu,
  backbone: Backbone,
  trainables: Trainables,
  { precision, height, width, merge }: NetworkOptions,
): Network {
  const { config } = backbone;
  const { patch, embedDim } = config;
  for (const [name, size] of Object.entries({ height, width })) {
    if (!(size >= patch && size % patch === 0)) {
      throw new RangeError(
        `Cannot embed images as ${name} must be a multiple of ${patch}: current value is ${size}`,
      );
    }
  }
  if (precision === "f16" && !gpu.hasF16) {
    throw new RangeError(`Cannot compute in f16: ${gpu.name} has no shader-f16, use f32`);
  }
  const shapes = parameterShapes(config);
  const owned: Tensor[] = [];
  const own = (tensor: Tensor) => (owned.push(tensor), tensor);
  const upload = (name: string, shape: readonly number[], dtype: DType = "f32") =>
    own(uploadTensor(gpu, backbone.get(name), shape, dtype));
  const vector = (name: string) => upload(name, shapes.get(name)!);

  const { adapter } = trainables;
  const modules = new Map(
    adapter.modules.map((module, index) => [module.name, { module, index }]),
  );
  const loraOf = (name: string, shape: readonly number[]): Lora | null => {
    const found = modules.get(name);
    if (!found) return null;
    modules.delete(name);
    const { module, index } = found;
    return {
      index,
      scale: loraScaling(module.rank, module.alpha, adapter.rslora),
      a: trainables.parameter(`${name}.lora_A`),
      b: trainables.parameter(`${name}.lora_B`),
      dA: trainables.gradient(`${name}.lora_A`),
      dB: trainables.gradient(`${name}.lora_B`),
      // f32 also at f16: an update much smaller than the weight would be rounded away.
      merged: merge ? own(createTensor(gpu, shape)) : null,
    };
  };
  const linear = (name: string, hasBias: boolean): Linear => {
    const shape = shapes.get(`${name}.weight`)!;
    return {
      name,
      weight: upload(`${name}.weight`, shape, precision),
      bias: hasBias ? upload(`${name}.bias`, [shape[0]!]) : null,
      lora: loraOf(name, shape),
    };
  };
  const norm = (name: string): NormWeights => ({
    weight: vector(`${name}.weight`),
    bias: vector(`${name}.bias`),
  });

  const blocks = Array.from({ length: config.depth }, (_, i): Block => {
    const block = `blocks.${i}`;
    return {
      norm1: norm(`${block}.norm1`),
      qkv: linear(`${block}.attn.qkv`, backbone.qvBias),
      proj: linear(`${block}.attn.proj`, true),
      gamma1: vector(`${block}.gamma_1`),
      norm2: norm(`${block}.norm2`),
      fc1: linear(`${block}.mlp.${config.gated ? "fc1_g" : "fc1"}`, true),
      fc1x: config.gated ? linear(`${block}.mlp.fc1_x`, true) : null,
      fc2: linear(`${block}.mlp.fc2`, true),
      gamma2: vector(`${block}.gamma_2`),
    };
  });
  const [unknown] = modules.keys();
  if (unknown !== undefined) {
    throw new RangeError(
      `Cannot adapt "${unknown}": ${config.name} with ${config.depth} blocks has no such layer`,
    );
  }

  const prefix = new Float32Array(prefixTokens(config) * embedDim);
  prefix.set(backbone.get("cls_token"));
  prefix.set(backbone.get("reg_token"), embedDim);
  const grid = { height: height / patch, width: width / patch };
  const patches = grid.height * grid.width;
  const { cos, sin } = ropeTable({
    ...grid,
    headDim: config.headDim,
    temperature: config.ropeTemperature,
  });
  const widest = Math.max(embedDim, config.mlpHidden);
  return {
    config,
    precision,
    grid,
    tokens: prefixTokens(config) + patches,
    patch: {
      weight: upload("patch_embed.proj.weight", [embedDim, 3 * patch * patch], precision),
      bias: vector("patch_embed.proj.bias"),
    },
    prefix: own(uploadTensor(gpu, prefix, [prefixTokens(config), embedDim])),
    blocks,
    norm: norm("norm"),
    rope: {
      cos: own(uploadTensor(gpu, cos, [patches, config.headDim / 2])),
      sin: own(uploadTensor(gpu, sin, [patches, config.headDim / 2])),
    },
    ones: own(uploadTensor(gpu, new Float32Array(widest).fill(1), [widest])),
    destroy() {
      for (const tensor of owned) destroyTensor(gpu, tensor);
    },
  };
}

/**
 * Most images whose widest activation can be bound.
 *
 * @throws {RangeError} If that of one image cannot.
 */
export function largestPiece(
  gpu: Gpu,
  { config, tokens, precision }: Pick<Network, "config" | "tokens" | "precision">,
): number {
  const widest = Math.max(3 * config.embedDim, config.mlpHidden);
  const bytes = tokens * widest * elementBytes(precision);
  const images = Math.floor(gpu.device.limits.maxStorageBufferBindingSize / bytes);
  if (images < 1) {
    throw new RangeError(
      `Cannot embed images of ${tokens} tokens: one takes ${bytes} bytes in a tensor, ` +
        `the adapter binds at most ${gpu.device.limits.maxStorageBufferBindingSize}`,
    );
  }
  return images;
}

/**
 * Images that are walked at a time: as many as are asked for, or all, if they can be bound. Where
 * they cannot, pieces are of one size: every tensor is as large as the largest piece.
 *
 * @param images Of a batch.
 * @param microBatch What is asked for.
 * @throws {RangeError} If one image is more than the adapter can bind.
 */
export function pieceSize(
  gpu: Gpu,
  network: Pick<Network, "config" | "tokens" | "precision">,
  { images, microBatch }: { images: number; microBatch: number | null | undefined },
): number {
  const most = largestPiece(gpu, network);
  const wanted = Math.min(images, microBatch ?? images);
  return wanted <= most ? wanted : Math.ceil(images / Math.ceil(images / most));
}

/**
 * Whether adapters are best folded into the weights: without dropout that saves products. But folded
 * weights are f32, so that small updates survive, and f32 keeps matrix units from products.
 */
export function mergesBest(
  { hasMatrix }: Gpu,
  { precision, dropout }: { precision: Precision; dropout: number },
): boolean {
  return dropout === 0 && !(hasMatrix && precision === "f16");
}
