/**
 * The library's front door: pictures in, embeddings out.
 *
 * @module
 */
import { type DecodePool, openDecodePool } from "./data/decode_pool.ts";
import { loadPictures, type PictureOptions } from "./data/loader.ts";
import { checkGpu, closeGpu, type Gpu, type Host, openGpu } from "./kernels/gpu.ts";
import type { PoolMode } from "./kernels/pool.ts";
import { startTuning, type Tuning } from "./kernels/tune.ts";
import { type Adapter, checkAdapter, DEFAULT_INPUT, readAdapter } from "./model/adapter.ts";
import { createEmbedder, type Embedder } from "./model/embedder.ts";
import { readBackbone } from "./model/hub.ts";
import { bestPrecision, mergesBest, type Precision, uploadNetwork } from "./model/network.ts";
import { Trainables } from "./model/trainables.ts";
import type { Backbone } from "./model/weights.ts";

/** What {@linkcode loadEmbedder} loads. */
export interface LoadOptions {
  /** An adapter or its folder; without one, pooled tokens of the backbone are the embeddings. */
  adapter?: Adapter | string;
  /** A backbone or its `.safetensors` file; by default the file in Hugging Face's cache. */
  weights?: Backbone | string;
  /** Name of the backbone in that file, see `modelConfig`; by default the one the adapter names. */
  model?: string;
  /** Side of the model's input, px: a multiple of 16. Default that of the training, else 384. */
  imgSize?: number;
  /** Mean of the patch tokens, or the class token. Default that of the training, else the mean. */
  pool?: PoolMode;
  /** Storage of weights and activations; by default f16 where a GPU has it. */
  precision?: Precision;
  /**
   * Images at a time, default 32, or 4 on a CPU adapter. So many are computed however few there are.
   */
  images?: number;
  /** Decoding threads, default 0: the calling one. */
  numWorkers?: number;
  /** Whose WebGPU, by default that of {@linkcode openGpu}. */
  host?: Host;
  /** What is known about the adapter's fastest kernels, and whether to find out more. */
  tuning?: Tuning;
}

/** A GPU with a model on it. Declare it with `using`, or close it. */
export interface PictureEmbedder extends Disposable {
  /** The device, for `searchGallery` and the like. */
  readonly gpu: Gpu;
  /** The model, for pixels that are in memory. */
  readonly embedder: Embedder;
  /** Length of an embedding. */
  readonly dim: number;
  /** Side of the model's input, px. */
  readonly imgSize: number;
  /**
   * Embeds picture files.
   *
   * @returns `(paths, dim)` in the order of the paths, rows of unit length.
   * @throws {Error} If a picture cannot be decoded.
   */
  embedPictures(paths: readonly string[]): Promise<Float32Array<ArrayBuffer>>;
  /** Frees the GPU and stops the threads; what embeds afterwards throws. */
  close(): void;
}

/** An adapter that changes nothing. */
const NO_ADAPTER: Adapter = {
  modules: [],
  head: null,
  logitScale: null,
  dropout: 0,
  rslora: false,
  baseModel: null,
  input: null,
};

/**
 * Opens a GPU and loads a backbone and an adapter onto it.
 *
 * @returns Ready to embed. It owns the GPU: declare it with `using`, or close it.
 * @throws {TypeError} If no model is named, or adapter and backbone do not fit together.
 * @throws {RangeError} If the model is unknown, `imgSize` is not a multiple of 16, `images` is no whole
 *   number above 0, or the GPU has no f16 and `precision` asks for it.
 * @throws {SyntaxError} If a file is damaged.
 * @throws {Error} If there is no GPU, or too little memory on it, or a file is missing.
 */
export async function loadEmbedder(options: LoadOptions): Promise<PictureEmbedder> {
  const { numWorkers = 0 } = options;
  const adapter = typeof options.adapter === "string"
    ? await readAdapter(options.adapter)
    : options.adapter ?? NO_ADAPTER;
  const usual = adapter.input ?? DEFAULT_INPUT;
  const { imgSize = usual.imgSize, pool = usual.pool } = options;
  const backbone = await backboneOf(options, adapter);
  checkAdapter(adapter, backbone.config);
  const gpu = await openGpu(options.host === undefined ? {} : { host: options.host });
  let threads: DecodePool | null = null; // once for all calls: Deno never gives back all of a thread
  const close = () => {
    gpu.failure ??= new Error("Cannot use an embedder that is closed");
    closeGpu(gpu);
    void threads?.close();
  };
  if (options.tuning) startTuning(gpu, options.tuning);
  try {
    const precision = options.precision ?? bestPrecision(gpu);
    const trainables = new Trainables(gpu, adapter, { training: false });
    const network = uploadNetwork(gpu, backbone, trainables, {
      precision,
      height: imgSize,
      width: imgSize,
      merge: mergesBest(gpu, { precision, dropout: 0 }),
    });
    const embedder = await createEmbedder(gpu, {
      network,
      trainables,
      pool,
      images: options.images ?? (gpu.isCpu ? 4 : 32),
    });
    return {
      gpu,
      embedder,
      dim: embedder.dim,
      imgSize,
      async embedPictures(paths) {
        checkGpu(gpu);
        if (threads?.failed) {
          void threads.close();
          threads = null;
        }
        // A picture may have changed since the last call: no file is held.
        threads ??= openDecodePool({ numWorkers, settings: null, cacheBytes: 0 });
        return await embedPictures(embedder, paths, { imgSize, numWorkers, pool: threads });
      },
      close,
      [Symbol.dispose]: close,
    };
  } catch (error) {
    close();
    throw error;
  }
}

/** How {@linkcode embedPictures} reads pictures; `imgSize` is the side of the embedder's input. */
export interface ReadingOptions extends Omit<PictureOptions, "batchSize"> {
  /** Called after each batch with the number of pictures that are done. */
  onProgress?: (done: number) => void;
}

/**
 * Embeds picture files with an embedder that is there already.
 *
 * @returns `(paths, dim)` in the order of the paths, rows of unit length.
 * @throws {Error} If a picture cannot be decoded.
 */
export async function embedPictures(
  embedder: Embedder,
  paths: readonly string[],
  { onProgress, ...reading }: ReadingOptions,
): Promise<Float32Array<ArrayBuffer>> {
  const embeddings = new Float32Array(paths.length * embedder.dim);
  async function* batches(): AsyncGenerator<Uint8Array> {
    const batchSize = embedder.images;
    for await (const { pixels, count } of loadPictures(paths, { ...reading, batchSize })) {
      yield pixels.subarray(0, count * pixels.length / batchSize);
    }
  }
  let written = 0;
  for await (const rows of embedder.embedEach(batches())) {
    embeddings.set(rows, written);
    written += rows.length;
    onProgress?.(written / embedder.dim);
  }
  return embeddings;
}

async function backboneOf({ weights, model }: LoadOptions, adapter: Adapter): Promise<Backbone> {
  if (typeof weights === "object") return weights;
  const name = model ?? adapter.baseModel;
  if (name === null) {
    throw new TypeError("Cannot load an embedder: neither `model` nor the adapter names a model");
  }
  const depth = adapter.input?.depth ?? null;
  return await readBackbone({ model: name, weights: weights ?? null, depth });
}
