import { hasEightLanes, type Tensor } from "./gpu.ts";
import { declareOperands } from "./operands.ts";
import type { Plan } from "./plan.ts";
import { rowGrid, rowSum } from "./row_sum.ts";
import { matrixOf, requireTensors } from "./shape.ts";
import backward from "./layer_norm_backward.wgsl" with { type: "text" };
import forward from "./layer_norm.wgsl" with { type: "text" };

/** Tensors of {@linkcode layerNorm}. */
export interface LayerNormInput {
  /** `(rows, columns)`, of the residual stream. */
  x: Tensor;
  /** `(columns)` f32. */
  weight: Tensor;
  /** `(columns)` f32. */
  bias: Tensor;
  /** `(rows, columns)`, written; its type may differ from that of `x`. */
  y: Tensor;
  /** `(rows, 2)` f32, receives mean and 1 / deviation of each row for the backward. */
  stats: Tensor | null;
  /** Added to the variance, default 1e-5. */
  eps?: number;
}

/** Tensors of {@linkcode layerNormBackward}. */
export interface LayerNormBackwardInput {
  /** `(rows, columns)`, gradient of the output. */
  dy: Tensor;
  /** `(rows, columns)`, input of the forward; `residual` and `dx` have its type. */
  x: Tensor;
  /** `(columns)` f32. */
  weight: Tensor;
  /** `(rows, 2)` f32, from the forward. */
  stats: Tensor;
  /** `(rows, columns)`, gradient that passes beside the block, added to `dx`. */
  residual: Tensor | null;
  /** `(rows, columns)`, gradient of the input, written. */
  dx: Tensor;
  /** `(columns)` f32, layer scale of the block below; given together with `scaled`. */
  scale: Tensor | null;
  /** `(rows, columns)`, receives `scale ∘ dx`; has the type of `dy`. */
  scaled: Tensor | null;
}

/**
 * Records a layer normalisation of every row; biased variance, all arithmetic in f32.
 *
 * @throws {RangeError} If shapes do not fit or the columns are no multiple of 4.
 * @throws {TypeError} If element types do not fit.
 * @see Ba et al. 2016, section 3, arXiv:1607.06450
 */
export function layerNorm(
  plan: Plan,
  { x, weight, bias, y, stats, eps = 1e-5 }: LayerNormInput,
): void {
  const label = "layer_norm";
  const [rows, columns] = matrixOf(label, "x", x);
  requireTensors(label, [
    ["weight", weight, [columns], "f32"],
    ["bias", bias, [columns], "f32"],
    ["y", y, [rows, columns], y.dtype],
  ]);
  if (stats) requireTensors(label, [["stats", stats, [rows, 2], "f32"]]);
  const { source, asTexels } = declareOperands(
    [
      { name: "x", binding: 0, type: "Stream", tensor: x },
      { name: "weight", binding: 1, type: "f32", tensor: weight },
      { name: "bias", binding: 2, type: "f32", tensor: bias },
    ],
    hasEightLanes(plan.gpu),
  );
  plan.add({
    label,
    code: forward,
    include: [rowSum(plan.gpu), source],
    constants: { ROWS: rows, COLUMNS: columns, EPS: eps, STATS: Number(stats !== null) },
    types: { Stream: x.dtype, Activation: y.dtype },
    tensors: [x, weight, bias, y, stats ?? plan.gpu.noneWritten],
    asTexels,
    groups: rowGrid(rows),
  });
}

/**
 * Records the gradient of {@linkcode layerNorm} to its input; weight and bias are frozen.
 *
 * @throws {RangeError} If shapes do not fit or the columns are no multiple of 4.
 * @throws {TypeError} If element types do not fit, or one of `scale` and `scaled` is missing.
 */
export function layerNormBackward(plan: Plan, input: LayerNormBackwardInput): void {
  const { dy, x, weight, stats, residual, dx, scale, scaled } = input;
  const label = "layer_norm_backward";
  const [rows, columns] = matrixOf(label, "x", x);
  requireTensors(label, [
    ["dy", dy, [rows, columns], dy.dtype],
    ["weight", weight, [columns], "f32"],
    ["stats", stats, [rows, 2], "f32"],
    ["dx", dx, [rows, columns], x.dtype],
  ]);
  if (residual) requireTensors(label, [["residual", residual, [rows, columns], x.dtype]]);
  if (scale && scaled) {
    requireTensors(label, [
      ["scale", scale, [columns], "f32"],
      ["scaled", scaled, [rows, columns], dy.dtype],
    ]);
  } else if (scale !== scaled) {
    throw new TypeError(`Cannot run ${label}: scale and scaled must both be given, or neither`);
  }
  const { none, noneWritten } = plan.gpu;
  const { source, asTexels } = declareOperands(
    [
      { name: "dy", binding: 0, type: "Activation", tensor: dy },
      { name: "x", binding: 1, type: "Stream", tensor: x },
      { name: "weight", binding: 2, type: "f32", tensor: weight },
      { name: "residual", binding: 4, type: "Stream", tensor: residual ?? undefined },
    ],
    hasEightLanes(plan.gpu),
  );
  plan.add({
    label,
    code: backward,
    include: [rowSum(plan.gpu), source],
    constants: {
      ROWS: rows,
      COLUMNS: columns,
      RESIDUAL: Number(residual !== null),
      SCALED: Number(scaled !== null),
    },
    types: { Stream: x.dtype, Activation: dy.dtype },
    tensors: [dy, x, weight, stats, residual ?? none, scale ?? none, dx, scaled ?? noneWritten],
    asTexels,
    groups: rowGrid(rows),
  });
}
