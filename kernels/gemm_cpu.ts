import { gelu, geluGrad } from "./gelu_cpu.ts";
import { dropoutKey, keep } from "./random_cpu.ts";
import type { Activation, GemmForm } from "./gemm.ts";
import type { SiteKeys } from "./sites.ts";

/** One product of {@linkcode gemmCpu}. */
export interface CpuProduct {
  a: ArrayLike<number>;
  b: ArrayLike<number>;
  k: number;
}

/** Operands of {@linkcode gemmCpu}; meanings and order as in `GemmInput`. */
export interface CpuGemm {
  form: GemmForm;
  m: number;
  n: number;
  first?: CpuProduct;
  second?: CpuProduct & {
    scale: number;
    dropout?: { rate: number } & SiteKeys;
  };
  scale?: number;
  bias?: ArrayLike<number>;
  act?: Activation;
  actGrad?: { act: Activation; pre: ArrayLike<number> };
  residual?: { x: ArrayLike<number>; gamma: ArrayLike<number> };
  /** What `c` held, to accumulate on. */
  start?: ArrayLike<number>;
}

/** `gemm` in plain f64 loops: the definition the kernel is held to. */
export function gemmCpu(
  { form, m, n, first, second, scale = 1, bias, act, actGrad, residual, start }: CpuGemm,
): { c: Float64Array; pre: Float64Array } {
  const c = new Float64Array(m * n);
  const pre = new Float64Array(m * n);
  const dot = ({ a, b, k }: CpuProduct, i: number, j: number) => {
    let sum = 0;
    for (let d = 0; d < k; d++) {
      const x = form === "tn" ? a[d * m + i]! : a[i * k + d]!;
      const y = form === "nt" ? b[j * k + d]! : b[d * n + j]!;
      sum += x * y;
    }
    return sum;
  };
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) {
      const at = i * n + j;
      let t = 0;
      if (second) {
        t = second.scale * dot(second, i, j);
        if (second.dropout) {
          const { rate, seed, step, stream, first } = second.dropout;
          t *= keep(dropoutKey(seed, step, stream), first + at, rate);
        }
      }
      if (first) t += dot(first, i, j);
      t *= scale;
      if (bias) t += bias[j]!;
      pre[at] = t;
      if (act === "gelu") t = gelu(t);
      if (act === "relu") t = Math.max(t, 0);
      if (actGrad?.act === "gelu") t *= geluGrad(actGrad.pre[at]!);
      if (actGrad?.act === "relu") t = actGrad.pre[at]! > 0 ? t : 0;
      if (residual) t = residual.x[at]! + residual.gamma[j]! * t;
      c[at] = t + (start ? start[at]! : 0);
    }
  }
  return { c, pre };
}
