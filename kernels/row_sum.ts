import { grid1d } from "./grid.ts";
import rowSum from "./row_sum.wgsl" with { type: "text" };

/** WGSL of `row_sum`, for the `include` of kernels that reduce rows. */
export { rowSum };

/** Workgroups of such a kernel: 64 lanes, 8 a row. */
export function rowGrid(rows: number): [number, number, number] {
  return grid1d(8 * rows, 64);
}
