import type { Tensor } from "./gpu.ts";
import type { Plan } from "./plan.ts";
import { matrixOf, requireTensors } from "./shape.ts";
import code from "./column_sum.wgsl" with { type: "text" };

/** Tensors of {@linkcode columnSum}. */
export interface ColumnSumInput {
  /** `(rows, columns)`. */
  x: Tensor;
  /** `(columns)` f32, written. */
  y: Tensor;
  /** Adds to what `y` holds. */
  accumulate: boolean;
}

/**
 * Records the sum of a matrix's rows, the gradient of a bias; the same bits on every run.
 *
 * @throws {RangeError} If shapes do not fit or the columns are no multiple of 4.
 * @throws {TypeError} If `y` is not f32.
 */
export function columnSum(plan: Plan, { x, y, accumulate }: ColumnSumInput): void {
  const label = "column_sum";
  const [rows, columns] = matrixOf(label, "x", x);
  requireTensors(label, [["y", y, [columns], "f32"]]);
  plan.add({
    label,
    code,
    constants: { ROWS: rows, COLUMNS: columns, ACCUMULATE: Number(accumulate) },
    types: { Activation: x.dtype },
    tensors: [x, y],
    groups: [Math.ceil(columns / 32), 1, 1],
  });
}
