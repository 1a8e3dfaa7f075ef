const EPS = 1e-12;

/** `normalise` in plain f64 loops: the definition the kernel is held to. */
export function normaliseCpu(
  x: ArrayLike<number>,
  columns: number,
): { y: Float64Array; norms: Float64Array } {
  const y = new Float64Array(x.length);
  const norms = new Float64Array(x.length / columns);
  for (let row = 0; row < norms.length; row++) {
    let squares = 0;
    for (let c = 0; c < columns; c++) squares += x[row * columns + c]! ** 2;
    norms[row] = Math.sqrt(squares);
    for (let c = 0; c < columns; c++) {
      y[row * columns + c] = x[row * columns + c]! / Math.max(norms[row]!, EPS);
    }
  }
  return { y, norms };
}

/** `normaliseBackward` in plain f64 loops: the definition the kernel is held to. */
export function normaliseBackwardCpu(
  dy: ArrayLike<number>,
  y: ArrayLike<number>,
  norms: ArrayLike<number>,
): Float64Array {
  const columns = y.length / norms.length;
  const dx = new Float64Array(y.length);
  for (let row = 0; row < norms.length; row++) {
    const norm = norms[row]!;
    let along = 0;
    for (let c = 0; c < columns; c++) along += y[row * columns + c]! * dy[row * columns + c]!;
    for (let c = 0; c < columns; c++) {
      const i = row * columns + c;
      dx[i] = norm > EPS ? (dy[i]! - y[i]! * along) / norm : dy[i]! / EPS;
    }
  }
  return dx;
}
