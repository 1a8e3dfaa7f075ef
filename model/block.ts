/**
 * One transformer block, forward and backward:
 *
 *     mid = x + γ₁ ∘ proj(attention(qkv(LN₁ x)))
 *     y = mid + γ₂ ∘ fc2(gelu(fc1(LN₂ mid)))          gated: silu(fc1_g(·)) ∘ fc1_x(·)
 *
 * The backward keeps nothing that a cheap kernel rebuilds: outputs of the layer norms and of the
 * activation are made again from their inputs.
 *
 * @module
 */
import { activate } from "../kernels/activate.ts";
import { attention, attentionBackward } from "../kernels/attention.ts";
import { createTensor, destroyTensor, type Gpu, type Tensor, viewTensor } from "../kernels/gpu.ts";
import { layerNorm, layerNormBackward } from "../kernels/layer_norm.ts";
import type { Plan } from "../kernels/plan.ts";
import type { Dropout } from "../kernels/sites.ts";
import { swiglu, swigluBackward } from "../kernels/swiglu.ts";
import { prefixTokens } from "./config.ts";
import {
  type Linear,
  type LinearBackward,
  linearBackward,
  type LinearForward,
  linearForward,
  shaped,
} from "./linear.ts";
import { type Block, linearsOf, type Network } from "./network.ts";

/** A walk through the blocks with some images. */
export interface Pass {
  plan: Plan;
  network: Network;
  images: number;
  /** Dropout of the input of a layer's adapter in this pass. */
  dropout(linear: Linear): Dropout;
  /** Room for the parts of the adapters' gradients, see `GemmInput`; null where nothing is split. */
  workspace: Tensor | null;
}

/** What a block's forward leaves for its backward; rows = images × tokens. */
export interface Activations {
  /** `(rows, 2)` f32: mean and 1 / deviation. */
  stats1: Tensor;
  stats2: Tensor;
  /** `(rows, 3C)`. */
  qkv: Tensor;
  /** `(rows, C)`: the heads' outputs. */
  heads: Tensor;
  /** `(images, heads, tokens)` f32: log-sum-exp of the scores. */
  lse: Tensor;
  /** `(rows, C)` f32: the residual stream between the branches. */
  mid: Tensor;
  /** `(rows, F)`: before the activation; of a gated MLP the gate. */
  pre: Tensor;
  /** `(rows, F)`: the value that a gated MLP's gate multiplies, else null. */
  value: Tensor | null;
  /** `(rows, r)` by layer, null where its adapter is merged. */
  h: (Tensor | null)[];
}

/** Room that all blocks share. */
export interface Scratch {
  /** `(rows, C)`: output of a layer norm. */
  norm: Tensor;
  /** `(rows, F)`: output of the activation. */
  hidden: Tensor;
  /** `(rows, max(C, F))`: input of an adapter after dropout. */
  dropped: Tensor;
  /** Only for the backward. */
  backward: BackwardScratch | null;
}

/** Room that the backwards of all blocks share. */
export interface BackwardScratch {
  /** `(rows, max(3C, F))`: gradient of qkv, or of the MLP's hidden layer. */
  wide: Tensor;
  /** `(rows, F)` more for a gated MLP, else null. */
  wide2: Tensor | null;
  /** `(rows, C)`: gradient of a layer norm's output, or of the heads. */
  narrow: Tensor;
  /** `(rows, C)` f32: gradient of `mid`. */
  dMid: Tensor;
  /** `(images, heads, tokens)` f32. */
  delta: Tensor;
  /** `(rows, r)`: h where it is not kept, and its gradient. */
  h: Tensor;
  dh: Tensor;
}

/** Gradients that pass from block to block, `(images, tokens, C)` each. */
export interface BlockGradient {
  /** Of the block's output: f32, as the residual stream. */
  dy: Tensor;
  /** The same times γ₂ of the block. */
  scaled: Tensor;
}

/**
 * Allocates what one block keeps.
 *
 * @param h Keep LoRA's h of every layer: the adapters are not merged.
 */
export function createActivations(
  gpu: Gpu,
  network: Network,
  { images, h }: { images: number; h: boolean },
): Activations {
  const { precision, tokens, blocks } = network;
  const { embedDim: c, mlpHidden, heads, gated } = network.config;
  const rows = images * tokens;
  const make = (columns: number) => createTensor(gpu, [rows, columns], precision);
  return {
    stats1: createTensor(gpu, [rows, 2]),
    stats2: createTensor(gpu, [rows, 2]),
    qkv: createTensor(gpu, [images, tokens, 3 * c], precision),
    heads: createTensor(gpu, [images, tokens, c], precision),
    lse: createTensor(gpu, [images, heads, tokens]),
    mid: createTensor(gpu, [rows, c]),
    pre: make(mlpHidden),
    value: gated ? make(mlpHidden) : null,
    h: linearsOf(blocks[0]!).map((_, layer) => {
      const rank = widestRank(network, layer);
      return h && rank > 0 ? make(rank) : null;
    }),
  };
}

/** Allocates the room that blocks share. */
export function createScratch(
  gpu: Gpu,
  network: Network,
  { images, training }: { images: number; training: boolean },
): Scratch {
  const { precision, tokens, blocks } = network;
  const { embedDim: c, mlpHidden, heads, gated } = network.config;
  const rows = images * tokens;
  const make = (columns: number) => createTensor(gpu, [rows, columns], precision);
  const rank = Math.max(4, ...linearsOf(blocks[0]!).map((_, layer) => widestRank(network, layer)));
  return {
    norm: make(c),
    hidden: make(mlpHidden),
    dropped: make(Math.max(c, mlpHidden)),
    backward: training
      ? {
        wide: make(Math.max(3 * c, mlpHidden)),
        wide2: gated ? make(mlpHidden) : null,
        narrow: make(c),
        dMid: createTensor(gpu, [rows, c]),
        delta: createTensor(gpu, [images, heads, tokens]),
        h: make(rank),
        dh: make(rank),
      }
      : null,
  };
}

/** Largest rank that any block has in this layer, 0 where none has an adapter. */
function widestRank({ blocks }: Network, layer: number): number {
  return Math.max(...blocks.map((block) => linearsOf(block)[layer]!.lora?.a.shape[0] ?? 0));
}

/** Frees every tensor in a record of tensors, nested or null ones included. */
export function destroyTensors(gpu: Gpu, record: unknown): void {
  const seen = new Set<Tensor>();
  mapTensors(record, (tensor) => {
    if (!seen.has(tensor)) destroyTensor(gpu, tensor);
    seen.add(tensor);
    return tensor;
  });
}

/**
 * The part of a record of tensors that belongs to its first images; every tensor's first
 * dimension counts images, or rows of images.
 */
export function firstImages<T>(
  gpu: Gpu,
  record: T,
  { count, of }: { count: number; of: number },
): T {
  if (count === of) return record;
  return mapTensors(record, (tensor) => {
    const [first, ...rest] = tensor.shape as [number, ...number[]];
    return viewTensor(gpu, tensor, { start: 0, shape: [first / of * count, ...rest] });
  });
}

function mapTensors<T>(record: T, change: (tensor: Tensor) => Tensor): T {
  if (record === null || typeof record !== "object") return record;
  if ("buffer" in record && "dtype" in record) return change(record as unknown as Tensor) as T;
  if (Array.isArray(record)) return record.map((part) => mapTensors(part, change)) as T;
  return Object.fromEntries(
    Object.entries(record).map(([name, part]) => [name, mapTensors(part, change)]),
  ) as T;
}

/**
 * Records a block's forward. x and y are `(images, tokens, C)`; without y only what the backward
 * needs is computed.
 */
export function blockForward(
  { plan, network, dropout }: Pass,
  block: Block,
  { x, y, keep, scratch }: { x: Tensor; y: Tensor | null; keep: Activations; scratch: Scratch },
): void {
  const { norm1, qkv, proj, gamma1, norm2, fc1, fc1x, fc2, gamma2 } = block;
  const { norm, hidden, dropped } = scratch;
  const { eps, heads } = network.config;
  const run = (linear: Linear, tensors: Pick<LinearForward, "x" | "y" | "epilogue">) =>
    linearForward(plan, linear, {
      ...tensors,
      h: keptH(plan, { block, linear, keep }),
      dropped,
      dropout: dropout(linear),
    });

  layerNorm(plan, { x, ...norm1, y: norm, stats: keep.stats1, eps });
  run(qkv, { x: norm, y: keep.qkv });
  attention(plan, {
    qkv: keep.qkv,
    ...network.rope,
    out: keep.heads,
    lse: keep.lse,
    heads,
    prefix: prefixTokens(network.config),
  });
  run(proj, { x: keep.heads, y: keep.mid, epilogue: { residual: { x, gamma: gamma1 } } });
  layerNorm(plan, { x: keep.mid, ...norm2, y: norm, stats: keep.stats2, eps });
  if (fc1x && keep.value) {
    run(fc1, { x: norm, y: keep.pre });
    run(fc1x, { x: norm, y: keep.value });
    swiglu(plan, { gate: keep.pre, value: keep.value, y: hidden });
  } else {
    run(fc1, { x: norm, y: hidden, epilogue: { act: "gelu", pre: keep.pre } });
  }
  run(fc2, { x: hidden, y, epilogue: { residual: { x: keep.mid, gamma: gamma2 } } });
}

/**
 * Records a block's backward: gradients of its adapters are added to, those of x are written.
 *
 * `gradient` holds those of y before and of x after; `below` is the block before this one, or null
 * for the first, where the gradient of x stops.
 */
export function blockBackward(
  { plan, network, dropout, workspace }: Pass,
  block: Block,
  { x, keep, scratch, gradient, below }: {
    x: Tensor;
    keep: Activations;
    scratch: Scratch;
    gradient: BlockGradient;
    below: Block | null;
  },
): void {
  const { norm1, qkv, proj, gamma1, norm2, fc1, fc1x, fc2 } = block;
  const { norm, hidden, dropped, backward } = scratch;
  if (!backward) throw new TypeError("Cannot compute a backward: the scratch was made without");
  const { wide, wide2, narrow, dMid, delta, h, dh } = backward;
  const { heads, eps } = network.config;
  const run = (
    linear: Linear,
    tensors: Pick<LinearBackward, "dy" | "x" | "dx" | "isDropped" | "epilogue">,
  ) =>
    linearBackward(plan, linear, {
      ...tensors,
      h: keptH(plan, { block, linear, keep }),
      scratch: { h, dh, dropped },
      workspace,
      dropout: dropout(linear),
    });
  const dPre = shaped(plan, wide, keep.pre.shape);

  // MLP: fc2 from its input, rebuilt and dropped in one pass, then fc1 from the norm's output.
  if (fc1x && keep.value && wide2) {
    swiglu(plan, { gate: keep.pre, value: keep.value, y: hidden });
    run(fc2, { dy: gradient.scaled, x: hidden, dx: dPre });
    swigluBackward(plan, {
      dy: dPre,
      gate: keep.pre,
      value: keep.value,
      dgate: hidden,
      dvalue: wide2,
    });
    layerNorm(plan, { x: keep.mid, ...norm2, y: norm, stats: null, eps });
    run(fc1x, { dy: wide2, x: norm, dx: narrow });
    run(fc1, { dy: hidden, x: norm, dx: narrow, epilogue: { accumulate: true } });
  } else {
    if (fc2.lora) {
      activate(plan, { x: keep.pre, y: dropped, activation: "gelu", dropout: dropout(fc2) });
    }
    run(fc2, {
      dy: gradient.scaled,
      x: shaped(plan, dropped, keep.pre.shape),
      isDropped: true,
      dx: dPre,
      epilogue: { actGrad: { act: "gelu", pre: keep.pre } },
    });
    layerNorm(plan, { x: keep.mid, ...norm2, y: norm, stats: null, eps });
    run(fc1, { dy: dPre, x: norm, dx: narrow });
  }
  layerNormBackward(plan, {
    dy: narrow,
    x: keep.mid,
    weight: norm2.weight,
    stats: keep.stats2,
    residual: gradient.dy,
    dx: dMid,
    scale: gamma1,
    scaled: gradient.scaled,
  });

  // Attention: proj from the heads, then qkv from the norm's output.
  const dHeads = shaped(plan, narrow, keep.heads.shape);
  const dQkv = shaped(plan, wide, keep.qkv.shape);
  run(proj, { dy: gradient.scaled, x: keep.heads, dx: dHeads });
  attentionBackward(plan, {
    qkv: keep.qkv,
    out: keep.heads,
    lse: keep.lse,
    dOut: dHeads,
    delta,
    dQkv,
    ...network.rope,
    heads,
    prefix: prefixTokens(network.config),
  });
  layerNorm(plan, { x, ...norm1, y: norm, stats: null, eps });
  run(qkv, { dy: dQkv, x: norm, dx: below && narrow });
  if (!below) return;
  layerNormBackward(plan, {
    dy: narrow,
    x,
    weight: norm1.weight,
    stats: keep.stats1,
    residual: dMid,
    dx: gradient.dy,
    scale: below.gamma2,
    scaled: gradient.scaled,
  });
}

/** Where the forward leaves h of a layer, or null where it does not. */
function keptH(
  plan: Plan,
  { block, linear, keep }: { block: Block; linear: Linear; keep: Activations },
): Tensor | null {
  const kept = keep.h[linearsOf(block).indexOf(linear)];
  if (!kept || !linear.lora || linear.lora.merged) return null;
  return shaped(plan, kept, [kept.shape[0]!, linear.lora.a.shape[0]!]);
}
