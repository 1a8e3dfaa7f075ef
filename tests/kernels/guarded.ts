import assert from "node:assert/strict";
import {
  type DType,
  type Gpu,
  readTensor,
  sizeOf,
  type Tensor,
  uploadTensor,
  viewTensor,
} from "../../kernels/gpu.ts";

/** A view with numbers behind it that a kernel must not touch. */
export interface Guarded {
  view: Tensor;
  /** Fails if a number behind the view has changed. */
  check(): Promise<void>;
}

/**
 * A view that ends inside a vec4 of its binding: bindings are whole vec4s, so what a kernel reads
 * or writes past the end is there, where the driver would hide it behind a whole one.
 */
export function guarded(gpu: Gpu, shape: readonly number[], dtype: DType): Guarded {
  const size = sizeOf(shape);
  const whole = uploadTensor(gpu, new Float32Array(size + 8).fill(7), [size + 8], dtype);
  return {
    view: viewTensor(gpu, whole, { start: 0, shape }),
    async check() {
      assert.deepEqual((await readTensor(gpu, whole)).subarray(size), new Float32Array(8).fill(7));
    },
  };
}
