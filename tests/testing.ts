/**
 * What every test uses: a comparison that NaN cannot pass, the GPU, seeded values, optional data.
 *
 * @module
 */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { closeGpu, type Gpu, hasEightLanes, openGpu } from "../kernels/gpu.ts";

export { relativeL2, uniform, unitRows } from "../bench/values.ts";

/** Allowed error: |actual - expected| <= atol + rtol * |expected|. */
export interface Tolerance {
  atol: number;
  rtol: number;
}

/** Fails unless every value is finite and within tolerance; names the worst. */
export function assertClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  { atol, rtol }: Tolerance,
): void {
  if (actual.length !== expected.length || expected.length === 0) {
    throw new Error(`Expected ${expected.length} values (at least 1) but got ${actual.length}`);
  }
  let bad = 0;
  let worst = 0;
  let worstRatio = 0;
  for (let i = 0; i < expected.length; i++) {
    const error = Math.abs(actual[i]! - expected[i]!);
    const ratio = error === 0 ? 0 : error / (atol + rtol * Math.abs(expected[i]!));
    if (ratio <= 1) continue; // NaN and Infinity fall through as bad
    bad++;
    if (!(ratio <= worstRatio)) [worst, worstRatio] = [i, ratio];
  }
  if (bad > 0) {
    throw new Error(
      `${bad} of ${expected.length} values differ; worst at ${worst}: ` +
        `got ${actual[worst]}, expected ${expected[worst]}, ` +
        `${worstRatio.toPrecision(3)} x the tolerance (atol ${atol}, rtol ${rtol})`,
    );
  }
}

/**
 * Only `GPU=off` skips all tests that need a GPU, and an adapter those that need what it lacks; where
 * none answers they fail.
 */
export const GPU_OFF: boolean = Deno.env.get("GPU") === "off";

/** What a test may need, and whether an adapter has it. */
const HAS = {
  f32: () => true, // always: a test of each precision needs its own
  f16: ({ hasF16 }: Gpu) => hasF16,
  timestamps: ({ hasTimestamps }: Gpu) => hasTimestamps,
  matrix: ({ hasMatrix }: Gpu) => hasMatrix,
  eightLanes: hasEightLanes,
  cpu: ({ isCpu }: Gpu) => isCpu,
  llvmpipe: ({ name }: Gpu) => Deno.build.os === "linux" && name.includes("llvmpipe"),
};

/** Name of a test that every adapter can run, or name and all that the adapter must have. */
export type GpuTestOptions = string | { name: string; needs: readonly (keyof typeof HAS)[] };

// Deno is told what to ignore before any test runs, so the adapter is looked at here: 50 ms a file.
const adapter = GPU_OFF ? null : await openGpu().catch(() => null); // the tests say why
if (adapter) closeGpu(adapter);

/** Options of `Deno.test`: a test is ignored, not passed, where the adapter lacks what it needs. */
export function denoOptions(test: GpuTestOptions): { name: string; ignore: boolean } {
  const { name, needs } = typeof test === "string" ? { name: test, needs: [] } : test;
  const isAble = adapter === null || needs.every((need) => HAS[need](adapter));
  return { name, ignore: GPU_OFF || !isAble };
}

/** Registers a test that needs a GPU. The device is closed afterwards, with all its memory. */
export function gpuTest(test: GpuTestOptions, fn: (gpu: Gpu) => Promise<void>): void {
  Deno.test({
    ...denoOptions(test),
    fn: async () => {
      const gpu = await openGpu();
      try {
        await fn(gpu);
      } finally {
        closeGpu(gpu);
      }
    },
  });
}

/** Absolute path of an optional folder of large test data beside the project, or null. */
export function sharedPath(name: string): string | null {
  const path = fileURLToPath(new URL(`../../shared/${name}`, import.meta.url));
  return existsSync(path) ? path : null;
}
