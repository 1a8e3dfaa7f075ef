import { hasEightLanes, sizeOf, type Tensor } from "./gpu.ts";
import type { Activation } from "./gemm.ts";
import { grid1d } from "./grid.ts";
import { declareOperands } from "./operands.ts";
import type { Plan } from "./plan.ts";
import type { Dropout } from "./sites.ts";
import { matrixOf, requireDropout, requireTensors } from "./shape.ts";
import code from "./activate.wgsl" with { type: "text" };
import gelu from "./gelu.wgsl" with { type: "text" };
import random from "./random.wgsl" with { type: "text" };
import relu from "./relu.wgsl" with { type: "text" };

/** Tensors and settings of {@linkcode activate}. */
export interface ActivateInput {
  /** `(rows, columns)`. */
  x: Tensor;
  /** `(rows, columns)`, written. */
  y: Tensor;
  activation: Activation | "identity";
  /** Dropout after the activation. */
  dropout: Dropout;
}

const ACTS = { identity: 0, gelu: 1, relu: 2 };

/**
 * Records `y = keep ∘ act(x)`: what the forward's GEMM computes or drops on the fly, rebuilt for
 * the backward.
 *
 * The mask is that of the same site anywhere else, see `random.wgsl`.
 *
 * @throws {RangeError} If shapes do not fit, the columns are no multiple of 4, or `rate` is outside
 * [0, 1).
 * @throws {TypeError} If element types do not fit.
 */
export function activate(
  plan: Plan,
  { x, y, activation, dropout }: ActivateInput,
): void {
  const label = "activate";
  const shape = matrixOf(label, "x", x);
  requireTensors(label, [["y", y, shape, x.dtype]]);
  requireDropout(label, dropout);
  const count = sizeOf(shape) / 4;
  const { source, asTexels } = declareOperands(
    [{ name: "x", binding: 0, type: "Activation", tensor: x }],
    hasEightLanes(plan.gpu),
  );
  plan.add({
    label,
    code,
    include: [gelu, relu, random, source],
    constants: { COUNT: count, ACT: ACTS[activation], RATE: dropout?.rate ?? 0 },
    types: { Activation: x.dtype },
    tensors: [x, dropout?.site ?? plan.gpu.none, y],
    asTexels,
    groups: grid1d(count, 64),
  });
}
