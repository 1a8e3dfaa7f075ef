/**
 * Readback that does not stop the GPU: small results are copied to staging memory as they are made,
 * and fetched many at a time, while the GPU is at work on what comes next.
 *
 * @module
 */
import {
  checkGpu,
  decodeElements,
  type Gpu,
  readStaging,
  stagingSize,
  type Tensor,
} from "./gpu.ts";
import { encodePlans, type Plan, submit } from "./plan.ts";

/** Runs plans again and again, and reads one tensor as each run leaves it, some runs late. */
export class Ring {
  readonly #gpu: Gpu;
  readonly #tensor: Tensor;
  /** Bytes of a copy. */
  readonly #size: number;
  /** Copies are made in one bank while the other is read. */
  readonly #banks: readonly GPUBuffer[];
  #bank = 0;
  #used = 0;
  /** Runs between two fetches at most. */
  readonly depth: number;

  constructor(gpu: Gpu, tensor: Tensor, depth = 8) {
    this.#gpu = gpu;
    this.#tensor = tensor;
    this.#size = stagingSize(tensor);
    this.depth = depth;
    this.#banks = [0, 1].map(() =>
      gpu.device.createBuffer({
        size: depth * this.#size,
        usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
      })
    );
  }

  /** True when the next {@linkcode run} must take the values of those before it. */
  get full(): boolean {
    return this.#used === this.depth;
  }

  /**
   * Queues plans, and a copy of the tensor as they leave it.
   *
   * @param take Also takes the values of the runs before this one. The GPU is handed this run before
   *   anything is read, and does not wait for the host meanwhile.
   * @returns Those values, oldest first; none without `take`. Await them before you take again.
   * @throws {RangeError} If the ring is full and nothing is taken, or the last take is on its way.
   * @throws {Error} If the device reported an error.
   */
  run(plans: readonly Plan[], { take = false } = {}): Promise<Float32Array[]> {
    if (this.full && !take) {
      throw new RangeError(`Cannot copy to a ring: all ${this.depth} slots are full`);
    }
    checkGpu(this.#gpu); // after one, a bank stays on its way
    const takes = take && this.#used > 0;
    const bank = this.#banks[takes ? 1 - this.#bank : this.#bank]!;
    if (bank.mapState !== "unmapped") {
      throw new RangeError("Cannot copy to a ring: values that were taken are still on their way");
    }
    const slot = takes ? 0 : this.#used;
    const { buffer, offset } = this.#tensor;
    const encoded = encodePlans(this.#gpu, plans, (encoder) => {
      encoder.copyBufferToBuffer(buffer, offset, bank, slot * this.#size, this.#size);
    });
    // Deno's mapAsync returns when the GPU has nothing left to do, and answers 10 ms later: what the
    // GPU does next is encoded before it, and submitted in these 10 ms.
    const taken = takes ? this.take() : Promise.resolve([]);
    this.#used = slot + 1;
    submit(this.#gpu, encoded);
    return taken;
  }

  /**
   * Fetches and frees all copies. Waits for the GPU.
   *
   * @returns A value a run, oldest first.
   * @throws {Error} If the device reported an error.
   */
  async take(): Promise<Float32Array[]> {
    const count = this.#used;
    if (count === 0) return [];
    const bank = this.#banks[this.#bank]!;
    this.#bank = 1 - this.#bank;
    this.#used = 0;
    const bytes = await readStaging(this.#gpu, bank);
    bank.unmap();
    return Array.from({ length: count }, (_, i) => {
      const start = i * this.#size;
      return decodeElements(bytes.slice(start, start + this.#size), this.#tensor);
    });
  }

  /** Frees the staging memory. */
  destroy(): void {
    for (const bank of this.#banks) bank.destroy();
  }
}
