/**
 * Preloaded into a training process: says in the end how many workers it has started.
 *
 * @module
 */
let count = 0;

const { Worker } = globalThis;
globalThis.Worker = class extends Worker {
  constructor(url: URL | string, options?: WorkerOptions) {
    super(url, options);
    count++;
  }
};

addEventListener("unload", () => console.error(`workers started: ${count}`));
