import type { Tensor } from "./gpu.ts";
import type { Plan } from "./plan.ts";
import { rowGrid, rowSum } from "./row_sum.ts";
import { matrixOf, requireTensors } from "./shape.ts";
import backward from "./normalise_backward.wgsl" with { type: "text" };
import forward from "./normalise.wgsl" with { type: "text" };

/** Tensors of {@linkcode normalise}. */
export interface NormaliseInput {
  /** `(rows, columns)` f32. */
  x: Tensor;
  /** `(rows, columns)` f32, written: rows of unit length. */
  y: Tensor;
  /** `(rows)` f32, receives the lengths of x for the backward. */
  norms: Tensor;
}

/** Tensors of {@linkcode normaliseBackward}. */
export interface NormaliseBackwardInput {
  /** `(rows, columns)` f32, gradient of the output. */
  dy: Tensor;
  /** `(rows, columns)` f32, output of the forward. */
  y: Tensor;
  /** `(rows)` f32, from the forward. */
  norms: Tensor;
  /** `(rows, columns)` f32, gradient of the input, written. */
  dx: Tensor;
}

/**
 * Records the division of each row by its length, or by 1e-12 where it is shorter.
 *
 * @throws {RangeError} If shapes do not fit or the columns are no multiple of 4.
 * @throws {TypeError} If a tensor is not f32.
 * @see `torch.nn.functional.normalize`
 */
export function normalise(plan: Plan, { x, y, norms }: NormaliseInput): void {
  const label = "normalise";
  const [rows, columns] = matrixOf(label, "x", x);
  requireTensors(label, [
    ["x", x, [rows, columns], "f32"],
    ["y", y, [rows, columns], "f32"],
    ["norms", norms, [rows], "f32"],
  ]);
  plan.add({
    label,
    code: forward,
    include: [rowSum(plan.gpu)],
    constants: { ROWS: rows, COLUMNS: columns },
    tensors: [x, y, norms],
    groups: rowGrid(rows),
  });
}

/**
 * Records the gradient of {@linkcode normalise}.
 *
 * @throws {RangeError} If shapes do not fit or the columns are no multiple of 4.
 * @throws {TypeError} If a tensor is not f32.
 */
export function normaliseBackward(
  plan: Plan,
  { dy, y, norms, dx }: NormaliseBackwardInput,
): void {
  const label = "normalise_backward";
  const [rows, columns] = matrixOf(label, "dy", dy);
  requireTensors(label, [
    ["dy", dy, [rows, columns], "f32"],
    ["y", y, [rows, columns], "f32"],
    ["norms", norms, [rows], "f32"],
    ["dx", dx, [rows, columns], "f32"],
  ]);
  plan.add({
    label,
    code: backward,
    include: [rowSum(plan.gpu)],
    constants: { ROWS: rows, COLUMNS: columns },
    tensors: [dy, y, norms, dx],
    groups: rowGrid(rows),
  });
}
