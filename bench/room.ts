/**
 * Tensors that benchmarks fill, read and free together, and the parts of them that are checked.
 *
 * @module
 */
import {
  createTensor,
  destroyTensor,
  type DType,
  type Gpu,
  type HostArray,
  readTensor,
  sizeOf,
  type Tensor,
  uploadTensor,
} from "../kernels/gpu.ts";
import type { SiteKeys } from "../kernels/sites.ts";
import type { Precision } from "../model/network.ts";
import { uniform } from "./values.ts";

/** Where the benchmarks' dropout happens. */
export const SITE: SiteKeys = { seed: 7, step: 3, stream: 11, first: 0 };

/** A tensor and what was uploaded to it, after rounding. */
export interface Values {
  tensor: Tensor;
  host: Float32Array;
}

/** Tensors of some cases, freed together. */
export class Room {
  readonly #gpu: Gpu;
  readonly #tensors: Tensor[] = [];
  #seed = 1;

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  /** Random values in ±`scale`; of another seed each time. */
  values(shape: readonly number[], dtype: DType = "f32", scale = 1): Values {
    const exact = uniform(sizeOf(shape), this.#seed++).map((x) => scale * x);
    const host = dtype === "f16" ? new Float32Array(new Float16Array(exact)) : exact;
    return { tensor: this.upload(host, shape, dtype), host };
  }

  /** Given values. */
  upload(host: HostArray, shape: readonly number[], dtype: DType): Tensor {
    const tensor = uploadTensor(this.#gpu, host, shape, dtype);
    this.#tensors.push(tensor);
    return tensor;
  }

  /** A result. */
  zeros(shape: readonly number[], dtype: DType = "f32"): Tensor {
    const tensor = createTensor(this.#gpu, shape, dtype);
    this.#tensors.push(tensor);
    return tensor;
  }

  /** Waits for the GPU. */
  read(tensor: Tensor): Promise<Float32Array> {
    return readTensor(this.#gpu, tensor);
  }

  /** Frees all of them. */
  destroy(): void {
    for (const tensor of this.#tensors.splice(0)) destroyTensor(this.#gpu, tensor);
  }
}

// Oracles are slow: they check the first, a middle and the last row of a result. Kernels have
// their own tests of every element; here a wrong grid or layout must not be timed as a fast one.
export const mostError = (precision: Precision) => precision === "f16" ? 2e-3 : 2e-5;

/** First, middle and last. */
export const rowsToCheck = (rows: number) => [0, rows >> 1, rows - 1];

/** Some rows of a row-major matrix, one after the other. */
export function takeRows(
  values: Float32Array,
  columns: number,
  rows: readonly number[],
): Float32Array {
  const taken = new Float32Array(rows.length * columns);
  rows.forEach((row, i) => {
    taken.set(values.subarray(row * columns, (row + 1) * columns), i * columns);
  });
  return taken;
}

/** Some columns, as rows of a transposed matrix would be. */
export function takeColumns(
  values: Float32Array,
  columns: number,
  wanted: readonly number[],
): Float32Array {
  return Float32Array.from(
    { length: values.length / columns * wanted.length },
    (_, i) => values[Math.floor(i / wanted.length) * columns + wanted[i % wanted.length]!]!,
  );
}
