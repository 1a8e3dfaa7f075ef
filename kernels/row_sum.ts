import type { Gpu } from "./gpu.ts";
import { grid1d } from "./grid.ts";
import barriers from "./row_sum.wgsl" with { type: "text" };
import shuffles from "./row_sum_subgroup.wgsl" with { type: "text" };

const GROUP_LANES = 64;
/**
 * Lanes that share a row: 8 vec4s are a whole 128-byte line for a GPU; more lanes only add steps to
 * the tree, which a CPU adapter pays dearly (64: 3 times as slow).
 */
const ROW_LANES = 8;

/** WGSL of `row_sum`, for the `include` of kernels that reduce rows: without barriers where it can be. */
export function rowSum({ subgroupMinSize }: Pick<Gpu, "subgroupMinSize">): string {
  return `const GROUP_LANES = ${GROUP_LANES}u;
const ROW_LANES = ${ROW_LANES}u;
${subgroupMinSize >= ROW_LANES ? shuffles : barriers}`;
}

/** Workgroups of such a kernel. */
export function rowGrid(rows: number): [number, number, number] {
  return grid1d(ROW_LANES * rows, GROUP_LANES);
}
