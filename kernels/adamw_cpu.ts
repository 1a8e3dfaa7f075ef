/** What one call of {@linkcode adamwCpu} reads and changes. */
export interface CpuAdamW {
  parameters: Float64Array;
  /** Multiplied by `scale`; zero afterwards. */
  gradients: Float64Array;
  m: Float64Array;
  v: Float64Array;
  /** Loss scale. */
  scale: number;
  /** Steps taken since the scale last changed. */
  tracker: number;
  /** Whether the last step was skipped. */
  foundInf: boolean;
  /** Steps skipped in a row. */
  skipped: number;
  /** Steps taken. */
  steps: number;
  /** L2 norm and largest magnitude of the unscaled gradients before clipping, the finite ones. */
  gradNorm: number;
  gradMax: number;
}

/** Settings of {@linkcode adamwCpu}; a clip of 0 is off. */
export interface CpuAdamWOptions {
  lr: number;
  beta1: number;
  beta2: number;
  eps: number;
  weightDecay: number;
  clipValue: number;
  clipNorm: number;
  dynamicScale: boolean;
  growthInterval: number;
}

/**
 * GradScaler, clipping and AdamW of PyTorch in plain f64 loops: the definition the kernels are
 * held to.
 */
export function adamwCpu(state: CpuAdamW, options: CpuAdamWOptions): void {
  const { parameters, gradients, m, v } = state;
  const { lr, beta1, beta2, eps, weightDecay, clipValue, clipNorm } = options;
  state.foundInf = !gradients.every(Number.isFinite);
  const unscaled = gradients.map((g) => g / state.scale);
  const finite = unscaled.filter(Number.isFinite);
  state.gradNorm = Math.sqrt(finite.reduce((sum, g) => sum + g * g, 0));
  state.gradMax = finite.reduce((max, g) => Math.max(max, Math.abs(g)), 0);
  gradients.fill(0);

  if (state.foundInf) {
    state.skipped++;
    if (options.dynamicScale) {
      state.scale *= 0.5;
      state.tracker = 0;
    }
    return;
  }
  state.skipped = 0;
  state.steps++;
  const coef = clipNorm > 0 ? Math.min(1, clipNorm / (state.gradNorm + 1e-6)) : 1;
  const c1 = 1 - beta1 ** state.steps;
  const c2 = 1 - beta2 ** state.steps;
  for (let i = 0; i < parameters.length; i++) {
    let g = unscaled[i]! * coef;
    if (clipValue > 0) g = Math.min(clipValue, Math.max(-clipValue, g));
    parameters[i]! *= 1 - lr * weightDecay;
    m[i]! += (1 - beta1) * (g - m[i]!);
    v[i] = beta2 * v[i]! + (1 - beta2) * g * g;
    parameters[i]! -= lr / c1 * m[i]! / (Math.sqrt(v[i]!) / Math.sqrt(c2) + eps);
  }
  if (options.dynamicScale && ++state.tracker === options.growthInterval) {
    state.tracker = 0;
    if (Number.isFinite(Math.fround(state.scale * 2))) state.scale *= 2;
  }
}
