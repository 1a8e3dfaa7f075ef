import type { AugmentSettings } from "./augment_settings.ts";
import {
  createPictureMaker,
  type PictureJob,
  type PictureResult,
  WORKER_NAME,
  type WorkerReply,
  type WorkerRequest,
} from "./decode_worker.ts";

/** Threads that make pictures. */
export interface DecodePool {
  /** Whether a worker crashed: nothing runs any more. */
  readonly failed: boolean;
  /**
   * Queues a picture. The queue has no limit: whoever fills it has.
   *
   * @throws {Error} If a worker crashed or the pool was closed.
   */
  run(job: PictureJob): Promise<PictureResult>;
  /** Fails what is queued, and returns when nothing runs any more. */
  close(): Promise<void>;
}

/** What a pool is made with. */
export interface PoolOptions {
  /** Threads; 0 works on the calling one. */
  numWorkers: number;
  /** `null` where no job has a sample. */
  settings: AugmentSettings | null;
  /**
   * Most bytes of files to hold, of all workers together, default 64 MiB. A file that is held is not
   * read again.
   */
  cacheBytes?: number;
}

const CACHE_BYTES = 64 * 2 ** 20;

/** Source files have a worker's module beside them; in a bundle or binary all is one module. */
function workerUrl(): URL {
  const here = new URL(import.meta.url);
  return here.pathname.endsWith("/decode_pool.ts") ? new URL("./decode_worker.ts", here) : here;
}

/**
 * Starts threads that make pictures.
 *
 * @throws {RangeError} If `numWorkers` is not a whole number, 0 or more.
 */
export function openDecodePool(
  { numWorkers, settings, cacheBytes = CACHE_BYTES }: PoolOptions,
): DecodePool {
  if (!Number.isInteger(numWorkers) || numWorkers < 0) {
    throw new RangeError(
      `Cannot start decode workers: their number is ${numWorkers}, must be a whole number >= 0`,
    );
  }
  const setup = { settings, cacheBytes: cacheBytes / Math.max(1, numWorkers) };
  if (numWorkers === 0) {
    const { make, stop } = createPictureMaker(setup);
    let closed = false;
    return {
      failed: false, // without a thread there is none to crash
      async run(job) {
        const result = await make(job);
        if (closed) throw closedError();
        return result;
      },
      close() {
        closed = true;
        return stop();
      },
    };
  }

  type Waiting = { resolve(result: PictureResult): void; reject(error: Error): void };
  const waiting = new Map<number, Waiting>();
  let nextId = 0;
  let failure: Error | undefined;
  const fail = (error: Error) => {
    failure ??= error;
    for (const { reject } of waiting.values()) reject(failure);
    waiting.clear();
  };

  const threads = Array.from({ length: numWorkers }, () => {
    const worker = new Worker(workerUrl(), { type: "module", name: WORKER_NAME });
    const { promise: ended, resolve: end } = Promise.withResolvers<void>();
    worker.onmessage = ({ data }) => {
      const reply = data as WorkerReply;
      if (reply === "stopped") return end();
      waiting.get(reply.id)?.resolve(reply.result);
      waiting.delete(reply.id);
    };
    worker.onerror = (event) => {
      event.preventDefault(); // or it would end the process
      fail(new Error(`Cannot decode pictures: a worker crashed with "${event.message}"`));
      end();
    };
    worker.postMessage(setup);
    return { worker, ended };
  });

  return {
    get failed() {
      return failure !== undefined;
    },
    run(job) {
      if (failure !== undefined) return Promise.reject(failure);
      const { promise, resolve, reject } = Promise.withResolvers<PictureResult>();
      const id = nextId++;
      waiting.set(id, { resolve, reject });
      send(threads[hash(job.path) % numWorkers]!.worker, { id, job });
      return promise;
    },
    async close() {
      fail(closedError());
      for (const { worker } of threads) send(worker, "stop");
      // A thread that ends inside sharp takes the process with it.
      await Promise.all(threads.map(({ ended }) => ended));
      for (const { worker } of threads) worker.terminate();
    },
  };
}

function closedError(): Error {
  return new Error("Cannot decode pictures: the loader was closed");
}

function send(worker: Worker, request: WorkerRequest): void {
  worker.postMessage(request);
}

/** A picture always goes to the same worker, which may hold its file. @see FNV-1a, Noll 1991 */
function hash(text: string): number {
  let state = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) {
    state = Math.imul(state ^ text.charCodeAt(i), 0x01000193);
  }
  return state >>> 0;
}
