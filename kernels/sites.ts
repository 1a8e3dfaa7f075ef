/**
 * Places where something is dropped. Each has a slot in one table on the GPU that the host
 * rewrites before a step, so that one compiled kernel serves every layer and every step.
 *
 * @module
 */
import {
  createTensor,
  destroyTensor,
  type Gpu,
  type Tensor,
  viewTensor,
  writeTensor,
} from "./gpu.ts";

/** Dropout at one site; null where nothing is dropped. */
export type Dropout = {
  /** Probability that an element is dropped, in [0, 1). */
  rate: number;
  /** u32[4], from {@linkcode Sites.add}. */
  site: Tensor;
} | null;

/** Seed and step, stream and first element: the keys of a site's mask, as `random.wgsl` wants. */
export interface SiteKeys {
  seed: number;
  step: number;
  stream: number;
  first: number;
}

/** u32 values between slots: 256 bytes, the widest binding alignment. */
const SLOT = 64;

/** The sites of a plan. */
export class Sites {
  readonly #gpu: Gpu;
  readonly #table: Tensor;
  readonly #values: Uint32Array<ArrayBuffer>;
  #used = 0;

  /** @param capacity Most sites there will be. */
  constructor(gpu: Gpu, capacity: number) {
    this.#gpu = gpu;
    this.#values = new Uint32Array(SLOT * Math.max(1, capacity));
    this.#table = createTensor(gpu, [this.#values.length], "u32");
  }

  /**
   * A new site.
   *
   * @param stream Number of the layer: its own stream of the generator.
   * @param first Number of the first element, where a layer is computed in pieces.
   * @returns u32[4]: seed, step, stream, first.
   * @throws {RangeError} If the table is full.
   */
  add(stream: number, first: number): Tensor {
    const start = SLOT * this.#used;
    if (start >= this.#values.length) {
      throw new RangeError(`Cannot add a site: all ${this.#used} slots of the table are taken`);
    }
    this.#used++;
    this.#values.set([0, 0, stream, first], start);
    return viewTensor(this.#gpu, this.#table, { start, shape: [4] });
  }

  /** Sets seed and step of all sites, for what is submitted next. */
  write(seed: number, step: number): void {
    for (let i = 0; i < this.#used; i++) this.#values.set([seed, step], SLOT * i);
    writeTensor(this.#gpu, this.#table, this.#values);
  }

  /** Frees the table. */
  destroy(): void {
    destroyTensor(this.#gpu, this.#table);
  }
}
