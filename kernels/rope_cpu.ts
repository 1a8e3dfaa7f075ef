/**
 * Turns one row in place, dimension d with d + headDim / 2, in plain f64 loops.
 *
 * @param row `(headDim)`.
 * @param angles `cos` and `sin` of the row's patch, `(headDim / 2)` each.
 * @param back Turns by the opposite angles, which undoes it.
 */
export function rotateRow(
  row: Float64Array,
  { cos, sin }: { cos: ArrayLike<number>; sin: ArrayLike<number> },
  back = false,
): void {
  const half = row.length / 2;
  for (let d = 0; d < half; d++) {
    const [lo, hi] = [row[d]!, row[d + half]!];
    const s = back ? -sin[d]! : sin[d]!;
    row[d] = lo * cos[d]! - hi * s;
    row[d + half] = hi * cos[d]! + lo * s;
  }
}
