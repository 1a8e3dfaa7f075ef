import {
  allocate,
  type Gpu,
  readTensor,
  readyOrFreed,
  sizeOf,
  type Tensor,
  writeTensor,
} from "../kernels/gpu.ts";
import { Plan, type ProfileRow, runPlans } from "../kernels/plan.ts";
import { Ring } from "../kernels/ring.ts";
import { tune } from "../kernels/tune.ts";
import type { PoolMode } from "../kernels/pool.ts";
import { Encoder } from "./encoder.ts";
import { Head } from "./head.ts";
import { largestPiece, type Network } from "./network.ts";
import type { Trainables } from "./trainables.ts";

/** What an {@linkcode Embedder} runs; it owns none of it. */
export interface EmbedderOptions {
  /** Backbone, with adapters that lie in `trainables`. */
  network: Network;
  /** Values of adapters and head. */
  trainables: Trainables;
  /** What becomes of the tokens of an image. */
  pool: PoolMode;
  /** Images at a time; fewer where the adapter cannot bind so many. */
  images: number;
}

/** Embeds images without a backward; create it with {@linkcode createEmbedder}. */
export class Embedder {
  readonly #gpu: Gpu;
  readonly #encoder: Encoder;
  readonly #head: Head;
  readonly #merge: Plan;
  readonly #embed: Plan;
  /** Images at a time: so many are computed however few there are. */
  readonly images: number;
  /** Length of an embedding. */
  readonly dim: number;

  constructor(gpu: Gpu, { network, trainables, pool, images }: EmbedderOptions) {
    if (!(Number.isInteger(images) && images >= 1)) {
      throw new RangeError(
        `Cannot embed ${images} images at a time: expected a whole number, 1 or more`,
      );
    }
    this.#gpu = gpu;
    this.images = Math.min(images, largestPiece(gpu, network));
    this.#encoder = new Encoder(gpu, network, { images: this.images, pool, training: null });
    this.#head = new Head(gpu, trainables, this.#encoder, null);
    this.dim = this.#head.embeddings.shape[1]!;
    this.#merge = new Plan(gpu);
    this.#encoder.recordMerge(this.#merge);
    this.#embed = new Plan(gpu);
    this.#encoder.recordForward(this.#embed);
    this.#head.recordForward(this.#embed);
  }

  /** Waits until all kernels are compiled, and tuned where that is asked for. */
  async ready(): Promise<void> {
    await tune(this.#gpu, [this.#merge, this.#embed]);
    await this.#merge.ready();
    await this.#embed.ready();
  }

  /** Takes over the adapters as they are now: before the first image, and after they changed. */
  refresh(): void {
    runPlans(this.#gpu, [this.#merge]);
  }

  /**
   * Embeds some images. Waits for the GPU.
   *
   * @param pixels `(count, height, width, 3)` u8 RGB of the network's size; count at most
   *   {@linkcode images}.
   * @returns `(count, dim)`, row-major, rows of unit length.
   * @throws {RangeError} If there are too many images, or a part of one.
   * @throws {Error} If the device reported an error.
   */
  embed(pixels: Uint8Array): Promise<Float32Array> {
    return this.#run(pixels, this.#head.embeddings);
  }

  /**
   * Embeds batches as they come: the GPU is at work on one while those before it are read.
   *
   * @param batches Pixels as for {@linkcode embed}, which may change when the next are asked for.
   * @returns For each batch in order what {@linkcode embed} returns.
   * @throws {RangeError} If a batch has too many images, or a part of one.
   * @throws {Error} If the device reported an error.
   */
  async *embedEach(batches: AsyncIterable<Uint8Array>): AsyncGenerator<Float32Array, void> {
    const ring = new Ring(this.#gpu, this.#head.embeddings, 1);
    try {
      let last = 0;
      for await (const pixels of batches) {
        const count = this.#write(pixels);
        const [earlier] = await ring.run([this.#embed], { take: true });
        if (earlier) yield earlier.slice(0, last * this.dim);
        last = count;
      }
      const [earlier] = await ring.take();
      if (earlier) yield earlier.slice(0, last * this.dim);
    } finally {
      ring.destroy();
    }
  }

  /**
   * As {@linkcode embed}, but rows are not brought to unit length: for sums over views.
   *
   * @param pixels As for {@linkcode embed}.
   * @returns `(count, dim)`, row-major.
   * @throws {RangeError} If there are too many images, or a part of one.
   * @throws {Error} If the device reported an error.
   */
  features(pixels: Uint8Array): Promise<Float32Array> {
    return this.#run(pixels, this.#head.features);
  }

  async #run(pixels: Uint8Array, wanted: Tensor): Promise<Float32Array> {
    const count = this.#write(pixels);
    runPlans(this.#gpu, [this.#embed]);
    return (await readTensor(this.#gpu, wanted)).slice(0, count * this.dim);
  }

  /** Hands over pixels; how many images they are. */
  #write(pixels: Uint8Array): number {
    const { input } = this.#encoder;
    const count = pixels.length / (sizeOf(input.shape) / this.images);
    if (!Number.isInteger(count)) {
      throw new RangeError(`Cannot embed ${count} images: ${pixels.length} bytes of pixels`);
    }
    writeTensor(this.#gpu, input, pixels);
    return count;
  }

  /**
   * GPU time of embedding the last images once more. Waits for the GPU.
   *
   * @returns A row a kernel label, the longest first.
   * @throws {Error} If the adapter has no timestamps.
   */
  profile(): Promise<ProfileRow[]> {
    return this.#embed.profile();
  }

  /** Frees the embedder's tensors, neither network nor trainables. */
  destroy(): void {
    this.#head.destroy();
    this.#encoder.destroy();
  }
}

/**
 * Allocates and compiles an embedder, and takes the adapters over as they are now.
 *
 * @returns Ready to embed; destroy it, or close the GPU.
 * @throws {GpuMemoryError} If the GPU has too little memory.
 * @throws {RangeError} If `images` is no whole number above 0, or one image is more than the adapter
 *   can bind.
 * @throws {SyntaxError} If a kernel does not compile.
 */
export async function createEmbedder(gpu: Gpu, options: EmbedderOptions): Promise<Embedder> {
  const embedder = await readyOrFreed(allocate(gpu, () => new Embedder(gpu, options)));
  embedder.refresh();
  return embedder;
}
