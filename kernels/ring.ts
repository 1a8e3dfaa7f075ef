/**
 * Readback that does not stop the GPU: small results are copied to staging buffers as they are
 * made and fetched many at a time.
 *
 * @module
 */
import { checkGpu, decodeElements, type Gpu, stagingSize, type Tensor } from "./gpu.ts";

/** Staging buffers for one tensor whose value of every step is wanted, a few steps late. */
export class Ring {
  readonly #gpu: Gpu;
  readonly #tensor: Tensor;
  readonly #buffers: GPUBuffer[];
  #used = 0;

  /** @param depth Steps between two fetches at most; `mapAsync` waits for the GPU and 10 ms more. */
  constructor(gpu: Gpu, tensor: Tensor, depth = 8) {
    this.#gpu = gpu;
    this.#tensor = tensor;
    this.#buffers = Array.from({ length: depth }, () =>
      gpu.device.createBuffer({
        size: stagingSize(tensor),
        usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
      }));
  }

  /** True when the next {@linkcode copy} needs a {@linkcode take} first. */
  get full(): boolean {
    return this.#used === this.#buffers.length;
  }

  /**
   * Copies the tensor's value at this point of the queue.
   *
   * @throws {RangeError} If the ring is full.
   */
  copy(encoder: GPUCommandEncoder): void {
    const buffer = this.#buffers[this.#used];
    if (buffer === undefined) {
      throw new RangeError(`Cannot copy to a ring: all ${this.#buffers.length} slots are full`);
    }
    this.#used++;
    encoder.copyBufferToBuffer(this.#tensor.buffer, this.#tensor.offset, buffer, 0, buffer.size);
  }

  /**
   * Fetches and frees all copies, oldest first. Waits for the GPU.
   *
   * @throws {Error} If the device reported an error.
   */
  async take(): Promise<Float32Array[]> {
    const buffers = this.#buffers.slice(0, this.#used);
    await Promise.all(buffers.map((buffer) => buffer.mapAsync(GPUMapMode.READ)));
    checkGpu(this.#gpu);
    this.#used = 0;
    return buffers.map((buffer) => {
      const values = decodeElements(buffer.getMappedRange().slice(0), this.#tensor);
      buffer.unmap();
      return values;
    });
  }

  /** Frees the staging buffers. */
  destroy(): void {
    for (const buffer of this.#buffers) buffer.destroy();
  }
}
