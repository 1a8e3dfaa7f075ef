/** Sizes of {@linkcode poolCpu}; meanings as in `PoolInput`. */
export interface CpuPool {
  batch: number;
  tokens: number;
  columns: number;
  mode: "avg" | "token";
  prefix: number;
}

/** `pool` in plain f64 loops: the definition the kernel is held to. */
export function poolCpu(
  x: ArrayLike<number>,
  { batch, tokens, columns, mode, prefix }: CpuPool,
): Float64Array {
  const y = new Float64Array(batch * columns);
  for (let b = 0; b < batch; b++) {
    for (let c = 0; c < columns; c++) {
      const at = (n: number) => x[(b * tokens + n) * columns + c]!;
      let mean = 0;
      for (let n = prefix; n < tokens; n++) mean += at(n) / (tokens - prefix);
      y[b * columns + c] = mode === "avg" ? mean : at(0);
    }
  }
  return y;
}

/** `poolBackward` in plain f64 loops: the definition the kernel is held to. */
export function poolBackwardCpu(
  dy: ArrayLike<number>,
  { batch, tokens, columns, mode, prefix }: CpuPool,
): Float64Array {
  const dx = new Float64Array(batch * tokens * columns);
  for (let b = 0; b < batch; b++) {
    for (let n = 0; n < tokens; n++) {
      const weight = mode === "token" ? Number(n === 0) : Number(n >= prefix) / (tokens - prefix);
      for (let c = 0; c < columns; c++) {
        dx[(b * tokens + n) * columns + c] = weight * dy[b * columns + c]!;
      }
    }
  }
  return dx;
}
