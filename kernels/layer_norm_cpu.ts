/** `layerNorm` in plain f64 loops: the definition the kernel is held to. */
export function layerNormCpu(
  x: ArrayLike<number>,
  weight: ArrayLike<number>,
  bias: ArrayLike<number>,
  eps = 1e-5,
): { y: Float64Array; stats: Float64Array } {
  const columns = weight.length;
  const rows = x.length / columns;
  const y = new Float64Array(x.length);
  const stats = new Float64Array(2 * rows);
  for (let row = 0; row < rows; row++) {
    const start = row * columns;
    let mean = 0;
    for (let c = 0; c < columns; c++) mean += x[start + c]! / columns;
    let variance = 0;
    for (let c = 0; c < columns; c++) variance += (x[start + c]! - mean) ** 2 / columns;
    const rstd = 1 / Math.sqrt(variance + eps);
    for (let c = 0; c < columns; c++) {
      y[start + c] = (x[start + c]! - mean) * rstd * weight[c]! + bias[c]!;
    }
    stats.set([mean, rstd], 2 * row);
  }
  return { y, stats };
}

/** Inputs of {@linkcode layerNormBackwardCpu}; meanings as in `LayerNormBackwardInput`. */
export interface CpuLayerNormBackward {
  dy: ArrayLike<number>;
  x: ArrayLike<number>;
  weight: ArrayLike<number>;
  stats: ArrayLike<number>;
  residual?: ArrayLike<number> | null;
}

/** `layerNormBackward` in plain f64 loops; returns dx. */
export function layerNormBackwardCpu(
  { dy, x, weight, stats, residual }: CpuLayerNormBackward,
): Float64Array {
  const columns = weight.length;
  const rows = x.length / columns;
  const dx = new Float64Array(x.length);
  for (let row = 0; row < rows; row++) {
    const mean = stats[2 * row]!;
    const rstd = stats[2 * row + 1]!;
    const start = row * columns;
    const t = (c: number) => dy[start + c]! * weight[c]!;
    const normal = (c: number) => (x[start + c]! - mean) * rstd;
    let meanT = 0;
    let meanTN = 0;
    for (let c = 0; c < columns; c++) {
      meanT += t(c) / columns;
      meanTN += t(c) * normal(c) / columns;
    }
    for (let c = 0; c < columns; c++) {
      const own = rstd * (t(c) - meanT - normal(c) * meanTN);
      dx[start + c] = own + (residual?.[start + c] ?? 0);
    }
  }
  return dx;
}
