/**
 * Feeds training and evaluation with pixels: decodes ahead of the GPU, in threads, within a bound.
 *
 * @module
 */
import { type DecodePool, openDecodePool } from "./decode_pool.ts";
import { pairJobs, type SampleOptions } from "./pair_jobs.ts";
import type { Pixels } from "./pixels.ts";
import { type PairResult, Replacer } from "./replace.ts";

/** The pictures of a batch of n pairs. */
export interface LoadedBatch {
  /** (2n, size, size, 3) u8 RGB: n queries, then n references. The next batch overwrites it. */
  pixels: Pixels;
  /** (n) weights of the pairs, no unit. */
  weights: Float32Array<ArrayBuffer>;
  /** (n) indices of the pairs, those of replacements included. */
  pairs: readonly number[];
}

/** Loads the batches of a training run. */
export interface PairLoader {
  /**
   * The batches of an epoch, in order, from number `start`.
   *
   * @param order Indices into the pairs, batch by batch.
   * @throws {Error} If more than 1 % of all pictures, and more than one, cannot be decoded, or if a
   * worker crashed.
   */
  batches(
    epoch: number,
    order: readonly (readonly number[])[],
    start?: number,
  ): AsyncGenerator<LoadedBatch>;
  /** Paths of the pictures that could not be decoded so far. */
  readonly replaced: readonly string[];
  /** Its threads, for {@linkcode loadPictures} between two epochs. */
  readonly pool: DecodePool;
  /** Stops the workers; to be called before the program ends, whatever happened. */
  close(): Promise<void>;
}

/** What {@linkcode createPairLoader} needs. */
export interface PairLoaderOptions extends SampleOptions {
  /** Decoding threads; 0 decodes on the calling one. */
  numWorkers: number;
  /** Called with one line for each picture that cannot be decoded. */
  onWarning: (line: string) => void;
}

/** Pictures are made ahead up to this much, or up to one batch where that is more. */
const AHEAD_BYTES = 64 * 2 ** 20;

/**
 * Starts the workers of a training run.
 *
 * A pair with a picture that cannot be decoded is replaced by a random other one that shares no
 * ground with the rest of the batch, where there is one. Batches are the same whatever the number
 * of workers, and whether an epoch is loaded from its start or from the middle.
 *
 * @throws {RangeError} If `numWorkers` is not a whole number, 0 or more.
 */
export function createPairLoader(options: PairLoaderOptions): PairLoader {
  const { pairs, imgSize, numWorkers, seed, augment, onWarning } = options;
  const pool = openDecodePool({ numWorkers, settings: augment });
  const replacer = new Replacer(pairs, onWarning);
  const jobsOf = pairJobs(options);
  const load = (index: number, epoch: number, repeat?: number): Promise<PairResult> => {
    const [query, reference] = jobsOf(index, epoch, repeat);
    return Promise.all([pool.run(query), pool.run(reference)]);
  };
  const bytes = imgSize * imgSize * 3;

  return {
    replaced: replacer.bad,
    pool,
    close: pool.close,
    async *batches(epoch, order, start = 0) {
      const all = order.flat();
      const rest = order.slice(start);
      const flat = rest.flat();
      const repeats = repeatsIn(all).slice(all.length - flat.length);
      const largest = rest.reduce((most, { length }) => Math.max(most, length), 0);
      const window = windowOf(2 * bytes, largest, numWorkers);
      const next = runAhead(flat.length, window, (i) => load(flat[i]!, epoch, repeats[i]));
      const buffer = new Uint8Array(largest * 2 * bytes);

      for (const batch of rest) {
        const used = [...batch];
        for (let i = 0; i < used.length; i++) {
          let pictures = await next();
          const others = used.toSpliced(i, 1);
          const candidates = replacer.candidates(others, [seed, epoch, used[i]!]);
          while (!replacer.accept(used[i]!, pictures)) {
            used[i] = candidates.next().value;
            pictures = await load(used[i]!, epoch);
          }
          const [query, reference] = pictures;
          if ("pixels" in query) buffer.set(query.pixels, i * bytes);
          if ("pixels" in reference) buffer.set(reference.pixels, (used.length + i) * bytes);
        }
        yield {
          pixels: buffer.subarray(0, used.length * 2 * bytes),
          weights: Float32Array.from(used, (index) => pairs[index]!.weight),
          pairs: used,
        };
      }
    },
  };
}

/** How often each has come before. */
function repeatsIn(order: readonly number[]): number[] {
  const seen = new Map<number, number>();
  return order.map((index) => {
    const repeat = seen.get(index) ?? 0;
    seen.set(index, repeat + 1);
    return repeat;
  });
}

/** Pictures in a row. */
export interface PictureBatch {
  /** (batchSize, size, size, 3) u8 RGB, whatever is past `count`. The next batch overwrites it. */
  pixels: Pixels;
  /** `batchSize`, or less in the last batch. */
  count: number;
}

/** What {@linkcode loadPictures} needs. */
export interface PictureOptions {
  /** Side of the model's input, px. */
  imgSize: number;
  batchSize: number;
  /** Decoding threads; 0 decodes on the calling one. */
  numWorkers: number;
  /**
   * So many threads that are there already; by default they are started, and stopped in the end. To do
   * so again and again costs Deno two file descriptors a thread, which it never gives back.
   */
  pool?: DecodePool | undefined;
  /** Aborted to stop between two batches; its reason is thrown. */
  signal?: AbortSignal | undefined;
}

/** Damaged pictures that an error names. */
const NAMED = 20;

/**
 * Loads pictures in order, only resized, as evaluation sees them.
 *
 * @throws {Error} If a picture cannot be decoded: a recall without it would be another number. The
 *   rest is read before, so that one error names all that are damaged.
 * @throws {RangeError} If `numWorkers` is not a whole number, 0 or more.
 */
export async function* loadPictures(
  paths: readonly string[],
  { imgSize: size, batchSize, numWorkers, pool: shared, signal }: PictureOptions,
): AsyncGenerator<PictureBatch> {
  const bytes = size * size * 3;
  const pool = shared ?? openDecodePool({ numWorkers, settings: null });
  try {
    const window = windowOf(bytes, batchSize, numWorkers);
    const next = runAhead(paths.length, window, (i) => {
      return pool.run({ path: paths[i]!, size, sample: null });
    });
    const pixels = new Uint8Array(batchSize * bytes);
    const faults: string[] = [];
    for (let start = 0; start < paths.length; start += batchSize) {
      signal?.throwIfAborted(); // also while damaged ones are sought
      const count = Math.min(batchSize, paths.length - start);
      for (let i = 0; i < count; i++) {
        const result = await next();
        if ("error" in result) faults.push(result.error);
        else pixels.set(result.pixels, i * bytes);
      }
      if (faults.length === 0) yield { pixels, count };
    }
    if (faults.length > 0) throw new Error(refusalOf(faults, paths.length));
  } finally {
    if (!shared) await pool.close();
  }
}

function refusalOf(faults: readonly string[], total: number): string {
  if (faults.length === 1) return faults[0]!;
  const left = faults.length - NAMED;
  const lines = [...faults.slice(0, NAMED), ...(left > 0 ? [`and ${left} more`] : [])];
  return `Cannot load ${faults.length} of ${total} pictures: ${lines.join("; ")}`;
}

/** Each call gives the next result, in order, of jobs of which up to `window` are under way. */
function runAhead<T>(
  count: number,
  window: number,
  start: (position: number) => Promise<T>,
): () => Promise<T> {
  const underWay: Promise<T>[] = [];
  let started = 0;
  return () => {
    while (underWay.length < window && started < count) {
      const job = start(started++);
      job.catch(() => {}); // reported by the call that waits for it
      underWay.push(job);
    }
    return underWay.shift()!;
  };
}

/** How many jobs of `bytes` may be under way: enough to hide a step, or one without workers. */
function windowOf(bytes: number, largestBatch: number, numWorkers: number): number {
  return numWorkers === 0 ? 1 : Math.max(largestBatch, Math.floor(AHEAD_BYTES / bytes));
}
