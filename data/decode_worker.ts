/**
 * The decoding of one picture after another, in a thread of its own.
 *
 * `mapAsync` stops the main thread for whole training steps, so what runs there between two steps
 * cannot keep decoders busy: each worker has its own event loop and a queue filled ahead.
 *
 * @module
 */
import { augmentPicture, type Sample } from "./augment.ts";
import type { AugmentSettings } from "./augment_settings.ts";
import { ByteCache } from "./byte_cache.ts";
import type { Box, Size } from "./crops.ts";
import { decodePicture, openDecoder } from "./decode.ts";
import type { Pixels } from "./pixels.ts";

/** A picture to make. */
export interface PictureJob {
  path: string;
  /** Side of the result, px. */
  size: number;
  /** `null`: only resized, as for evaluation. */
  sample: Sample | null;
}

/** A picture, or the line that says why there is none. */
export type PictureResult =
  | { pixels: Pixels; crop: Box; picture: Size }
  | { error: string };

/** What a worker is told first. */
export interface WorkerSetup {
  /** `null` where no job has a sample. */
  settings: AugmentSettings | null;
  /** Most bytes of files to hold. */
  cacheBytes: number;
}

/** What a worker is told next, again and again; then once to stop. */
export type WorkerRequest = { id: number; job: PictureJob } | "stop";

/** What a worker answers: a result to each job, and that nothing runs any more. */
export type WorkerReply = { id: number; result: PictureResult } | "stopped";

/** Makes pictures, one at a time. */
export interface PictureMaker {
  make(job: PictureJob): Promise<PictureResult>;
  /** Fails the jobs that wait, and returns when none is under way. */
  stop(): Promise<void>;
}

/** By this name a thread knows that it is a decode worker, even where all code is one file. */
export const WORKER_NAME = "geolora-decode";

/** Whether this thread is a decode worker; a program's entry point must do nothing else in it. */
export function isWorkerScope(): boolean {
  return "WorkerGlobalScope" in globalThis && self.name === WORKER_NAME;
}

/** How long a disk is waited for that does not answer, as one behind a network, milliseconds. */
const WAITS = [500, 5000];

/** Reads again what could not be read; what is not there only once. */
async function patiently<T>(read: () => Promise<T>): Promise<T> {
  for (const wait of WAITS) {
    try {
      return await read();
    } catch (error) {
      const isMissing = (error as Error).cause instanceof Deno.errors.NotFound;
      if (isMissing && wait !== WAITS[0]) throw error;
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }
  return await read();
}

/** What runs in a worker, or on the main thread where there is none. */
export function createPictureMaker({ settings, cacheBytes }: WorkerSetup): PictureMaker {
  const cache = new ByteCache(cacheBytes);
  let last: Promise<unknown> = Promise.resolve();
  let stopped = false;

  const makeNow = async ({ path, size, sample }: PictureJob): Promise<PictureResult> => {
    if (stopped) return { error: `Cannot decode ${path}: the loader was closed` };
    try {
      const bytes = await patiently(() => cache.read(path));
      const decoder = await openDecoder();
      return sample === null || settings === null
        ? await decodePicture(bytes, { name: path, width: size, height: size, decoder })
        : await augmentPicture(bytes, { name: path, size, settings, sample, decoder });
    } catch (error) {
      return { error: (error as Error).message };
    }
  };
  return {
    make(job) {
      const result = last.then(() => makeNow(job)); // two at once would hold two whole pictures
      last = result;
      return result;
    },
    async stop() {
      stopped = true;
      await last;
    },
  };
}

/** Makes this thread answer jobs until it is terminated; loading this module in a worker calls it. */
function startDecodeWorker(): void {
  const scope = self as unknown as Worker; // Deno's types know no worker's own scope
  const reply = (message: WorkerReply, transfer: Transferable[] = []) =>
    scope.postMessage(message, transfer);
  let maker: PictureMaker | undefined;
  scope.onmessage = async ({ data }) => {
    if (maker === undefined) {
      maker = createPictureMaker(data as WorkerSetup);
      return;
    }
    const request = data as WorkerRequest;
    if (request === "stop") {
      await maker.stop();
      reply("stopped");
      return;
    }
    const result = await maker.make(request.job);
    reply({ id: request.id, result }, "pixels" in result ? [result.pixels.buffer] : []);
  };
}

if (isWorkerScope()) startDecodeWorker();
