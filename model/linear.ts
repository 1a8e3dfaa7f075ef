/**
 * A frozen linear layer with an optional LoRA adapter, forward and backward:
 *
 *     y = x·Wᵀ + b + s·h·Bᵀ        h = dropout(x)·Aᵀ
 *
 * @see Hu et al. 2021, arXiv:2106.09685
 *
 * @module
 */
import { activate } from "../kernels/activate.ts";
import { gemm, type GemmInput } from "../kernels/gemm.ts";
import { sizeOf, type Tensor, viewTensor } from "../kernels/gpu.ts";
import type { Plan } from "../kernels/plan.ts";
import type { Dropout } from "../kernels/sites.ts";

/** LoRA's part of a {@linkcode Linear}; ranks are padded to multiples of 4. */
export interface Lora {
  /** Number of the adapter in the model: its stream of the dropout generator. */
  index: number;
  /** s = alpha / r. */
  scale: number;
  /** `(r, in)` f32. */
  a: Tensor;
  /** `(out, r)` f32. */
  b: Tensor;
  /** Gradients of `a` and `b`, null outside of training. */
  dA: Tensor | null;
  dB: Tensor | null;
  /** `(out, in)`: W + s·B·A, used instead of W and adapter, or null. */
  merged: Tensor | null;
}

/** A frozen layer; weights are (out, in). */
export interface Linear {
  name: string;
  weight: Tensor;
  /** `(out)` f32 or null. */
  bias: Tensor | null;
  lora: Lora | null;
}

/** What a layer adds to its product in the same kernel. */
export type Epilogue = Pick<GemmInput, "act" | "pre" | "residual" | "actGrad" | "accumulate">;

/** The first elements of a scratch tensor, as a tensor of this shape. */
export function shaped(plan: Plan, scratch: Tensor, shape: readonly number[]): Tensor {
  return viewTensor(plan.gpu, scratch, { start: 0, shape });
}

/** Tensors of one {@linkcode linearForward}; `rows` is images × tokens. */
export interface LinearForward {
  /** `(rows, in)`. */
  x: Tensor;
  /** `(rows, out)`, or null where only h is wanted. */
  y: Tensor | null;
  /** `(rows, r)`: receives h, unless the adapter is merged. */
  h: Tensor | null;
  /** Room for dropout(x). */
  dropped: Tensor;
  dropout: Dropout;
  epilogue?: Epilogue;
}

/** Records y = W x + b + adapter, then the epilogue. */
export function linearForward(
  plan: Plan,
  { name, weight, bias, lora }: Linear,
  { x, y, h, dropped, dropout, epilogue = {} }: LinearForward,
): void {
  const label = `${kind(name)} forward`;
  if (!lora || lora.merged) {
    const b = lora?.merged ?? weight;
    if (y) gemm(plan, { form: "nt", a: x, b, c: y, bias, label, ...epilogue });
    return;
  }
  if (!h) throw new TypeError(`Cannot compute ${name}: an adapter that is not merged needs h`);
  const input = droppedInput(plan, x, { dropped, dropout });
  recordDown(plan, { input, lora, h });
  if (!y) return;
  const second = { a: h, b: lora.b, scale: lora.scale };
  gemm(plan, { form: "nt", a: x, b: weight, c: y, second, bias, label, ...epilogue });
}

/** Tensors of one {@linkcode linearBackward}. */
export interface LinearBackward {
  /** `(rows, out)`: gradient of y. */
  dy: Tensor;
  /** `(rows, in)`: the forward's input; not read where the layer has no adapter. */
  x: Tensor | null;
  /** x as it was dropped already, by whoever rebuilt it. */
  isDropped?: boolean;
  /** `(rows, r)`: the forward's h, or null where the adapter is merged. */
  h: Tensor | null;
  /** `(rows, in)`: receives the gradient of x, or null at the first adapter of the model. */
  dx: Tensor | null;
  /** Room for h and its gradient, each (rows, r), and for dropout(x). */
  scratch: { h: Tensor; dh: Tensor; dropped: Tensor };
  /** Room for the parts of the adapter's gradients, see `GemmInput`. */
  workspace: Tensor | null;
  dropout: Dropout;
  epilogue?: Epilogue;
}

/** Records the gradients of the adapter (added to what is there) and of x. */
export function linearBackward(
  plan: Plan,
  { name, weight, lora }: Linear,
  { dy, x, isDropped = false, h, dx, scratch, workspace, dropout, epilogue = {} }: LinearBackward,
): void {
  const label = `${kind(name)} backward`;
  if (!lora) {
    if (dx) gemm(plan, { form: "nn", a: dy, b: weight, c: dx, label, ...epilogue });
    return;
  }
  if (!x || !lora.dA || !lora.dB) throw new TypeError(`Cannot train ${name}: no input or gradient`);
  const rank = lora.a.shape[0]!;
  const rows = sizeOf(dy.shape) / dy.shape.at(-1)!;
  const input = isDropped ? x : droppedInput(plan, x, { dropped: scratch.dropped, dropout });
  if (!h) {
    h = shaped(plan, scratch.h, [rows, rank]);
    recordDown(plan, { input, lora, h });
  }
  const dh = shaped(plan, scratch.dh, [rows, rank]);
  const { scale } = lora;
  const up = { b: lora.b, roundsB: true, label: "lora_B backward" };
  gemm(plan, { form: "nn", a: dy, ...up, c: dh, scale });
  const gradient = { form: "tn", accumulate: true, workspace, label: "lora gradients" } as const;
  gemm(plan, { ...gradient, a: dy, b: h, c: lora.dB, scale });
  gemm(plan, { ...gradient, a: dh, b: input, c: lora.dA });
  if (!dx) return;
  if (lora.merged) {
    return gemm(plan, { form: "nn", a: dy, b: lora.merged, c: dx, label, ...epilogue });
  }
  const second = { a: dh, b: lora.a, scale: 1, dropout };
  gemm(plan, { form: "nn", a: dy, b: weight, c: dx, second, label, ...epilogue });
}

/** Records h = input·Aᵀ. */
function recordDown(
  plan: Plan,
  { input, lora, h }: { input: Tensor; lora: Lora; h: Tensor },
): void {
  const down = { b: lora.a, roundsB: true, label: "lora_A forward" };
  gemm(plan, { form: "nt", a: input, ...down, c: h });
}

/** Records `merged = W + s·B·A`, once a step. */
export function mergeLora(plan: Plan, { weight, lora }: Linear, ones: Tensor): void {
  if (!lora?.merged) return;
  const gamma = shaped(plan, ones, [weight.shape[1]!]);
  const { a, b, merged, scale } = lora;
  const residual = { x: weight, gamma };
  gemm(plan, { form: "nn", a: b, b: a, c: merged, scale, residual, label: "lora merge" });
}

function droppedInput(
  plan: Plan,
  x: Tensor,
  { dropped, dropout }: { dropped: Tensor; dropout: Dropout },
): Tensor {
  if (!dropout) return x;
  const y = shaped(plan, dropped, x.shape);
  activate(plan, { x, y, activation: "identity", dropout });
  return y;
}

/** `blocks.3.attn.qkv` is an `attn.qkv`: one row of the profile for all blocks. */
function kind(name: string): string {
  return name.replace(/^blocks\.\d+\./, "");
}
