import { gelu } from "./gelu_cpu.ts";
import type { Activation } from "./gemm.ts";
import { dropoutKey, keep } from "./random_cpu.ts";
import type { SiteKeys } from "./sites.ts";

/** Settings of {@linkcode activateCpu}; meanings as in `ActivateInput`. */
export interface CpuActivate {
  activation: Activation | "identity";
  dropout: ({ rate: number } & SiteKeys) | null;
}

/** `activate` in f64: the definition the kernel is held to. */
export function activateCpu(
  x: ArrayLike<number>,
  { activation, dropout }: CpuActivate,
): Float64Array {
  const act = { identity: (x: number) => x, gelu, relu: (x: number) => Math.max(x, 0) };
  const values = Float64Array.from(x, act[activation]);
  if (!dropout) return values;
  const { rate, seed, step, stream, first } = dropout;
  const key = dropoutKey(seed, step, stream);
  return values.map((value, i) => keep(key, first + i, rate) * value);
}
