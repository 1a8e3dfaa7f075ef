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

/** Only `GPU=off` skips tests that need a GPU; a missing adapter fails them. */
export const GPU_OFF: boolean = Deno.env.get("GPU") === "off";

/** What a test may need of the adapter, and whether that has it. */
const HAS = {
  f32: () => true, // every adapter; so a test in either precision names its own
  f16: ({ hasF16 }: Gpu) => hasF16,
  timestamps: ({ hasTimestamps }: Gpu) => hasTimestamps,
  matrix: ({ hasMatrix }: Gpu) => hasMatrix,
  eightLanes: hasEightLanes,
  cpu: ({ isCpu }: Gpu) => isCpu,
};

/** A GPU test: its name, or with it what an adapter may lack, where the test is ignored. */
export type GpuTestOptions = string | { name: string; needs: readonly (keyof typeof HAS)[] };

// Deno wants to know which tests to ignore before it runs any: so open the adapter once, and close
// it. Where none answers nothing is ignored, and the tests fail.
const adapter = GPU_OFF ? null : await openGpu().catch(() => null);
if (adapter) closeGpu(adapter);

/** The options of Deno for a test of which only what runs it is special. */
export function denoOptions(test: GpuTestOptions): { name: string; ignore: boolean } {
  const { name, needs } = typeof test === "string" ? { name: test, needs: [] } : test;
  const isMissing = adapter !== null && !needs.every((need) => HAS[need](adapter));
  return { name, ignore: GPU_OFF || isMissing };
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
