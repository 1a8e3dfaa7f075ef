/** Inputs of {@linkcode infoNceCpu}. */
export interface CpuInfoNce {
  /** `(n, d)`. */
  query: ArrayLike<number>;
  /** `(n, d)`; row i matches query row i. */
  reference: ArrayLike<number>;
  /** `(n)`, 0 to 1. */
  smoothing: ArrayLike<number>;
  /** Natural logarithm of the inverse temperature. */
  logitScale: number;
}

/** Results of {@linkcode infoNceCpu}. */
export interface CpuInfoNceResult {
  /** Nats. */
  loss: number;
  /** `(n, d)`. */
  dQuery: Float64Array;
  /** `(n, d)`. */
  dReference: Float64Array;
  dLogitScale: number;
}

/**
 * Symmetric weighted InfoNCE and its gradients in plain f64 loops: the definition the kernels are
 * held to. Rows are free variables: their unit length is not used.
 */
export function infoNceCpu(
  { query, reference, smoothing, logitScale }: CpuInfoNce,
): CpuInfoNceResult {
  const n = smoothing.length;
  const d = query.length / n;
  const scale = Math.exp(logitScale);
  const z = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      let dot = 0;
      for (let c = 0; c < d; c++) dot += query[i * d + c]! * reference[j * d + c]!;
      z[i * n + j] = scale * dot;
    }
  }

  let loss = 0;
  const dz = new Float64Array(n * n);
  for (const [rowStep, columnStep] of [[n, 1], [1, n]] as const) { // Z, then its transpose
    for (let i = 0; i < n; i++) {
      const at = (j: number) => i * rowStep + j * columnStep;
      let max = -Infinity;
      for (let j = 0; j < n; j++) max = Math.max(max, z[at(j)]!);
      let sum = 0;
      for (let j = 0; j < n; j++) sum += Math.exp(z[at(j)]! - max);
      const lse = max + Math.log(sum);
      for (let j = 0; j < n; j++) {
        const target = smoothing[i]! / n + (i === j ? 1 - smoothing[i]! : 0);
        const logProbability = z[at(j)]! - lse;
        loss -= target * logProbability / (2 * n);
        dz[at(j)]! += (Math.exp(logProbability) - target) / (2 * n);
      }
    }
  }

  const dQuery = new Float64Array(n * d);
  const dReference = new Float64Array(n * d);
  let dLogitScale = 0;
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      const g = dz[i * n + j]!;
      dLogitScale += g * z[i * n + j]!;
      for (let c = 0; c < d; c++) {
        dQuery[i * d + c]! += scale * g * reference[j * d + c]!;
        dReference[j * d + c]! += scale * g * query[i * d + c]!;
      }
    }
  }
  return { loss, dQuery, dReference, dLogitScale };
}
