/** Most workgroups along x; WebGPU allows 65,535. */
const WIDEST = 32768;

/**
 * Workgroups for `invocations` work items in one row, folded into rows when there are too many.
 *
 * A kernel's item is `(group.y * groups.x + group.x) * size + lane`, guarded by its count.
 */
export function grid1d(invocations: number, size: number): [number, number, number] {
  const groups = Math.max(1, Math.ceil(invocations / size));
  const x = Math.min(groups, WIDEST);
  return [x, Math.ceil(groups / x), 1];
}
