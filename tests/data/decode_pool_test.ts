import assert from "node:assert/strict";
import { openDecodePool } from "../../data/decode_pool.ts";
import { createPictureMaker, isWorkerScope } from "../../data/decode_worker.ts";

const JOB = { path: "no/such.jpg", size: 8, sample: null };

for (const numWorkers of [0, 2]) {
  Deno.test(`DecodePool.run() says what is wrong with a file with ${numWorkers} workers`, async () => {
    const pool = openDecodePool({ numWorkers, settings: null });
    assert.deepEqual(await pool.run(JOB), { error: "Cannot read no/such.jpg: no such file" });
    await pool.close();
  });
}

Deno.test("DecodePool.run() fails when a worker crashes, and never hangs", async () => {
  const { Worker } = globalThis;
  // In place of the decoder: a worker that cannot start.
  globalThis.Worker = class extends Worker {
    constructor(_: URL | string, options?: WorkerOptions) {
      super("data:text/javascript,throw new Error('out of luck')", { ...options, type: "module" });
    }
  };
  try {
    const crash = {
      name: "Error",
      message: /^Cannot decode pictures: a worker crashed with ".*out of luck.*"$/,
    };
    for (const numWorkers of [1, 2]) {
      const pool = openDecodePool({ numWorkers, settings: null });
      await Promise.all([1, 2, 3].map(() => assert.rejects(pool.run(JOB), crash)));
      await assert.rejects(pool.run(JOB), crash); // and later ones too
      await pool.close();
    }
  } finally {
    globalThis.Worker = Worker;
  }
});

Deno.test("openDecodePool() refuses a number of workers that is none", () => {
  for (const numWorkers of [-1, 1.5, NaN]) {
    assert.throws(() => openDecodePool({ numWorkers, settings: null }), {
      name: "RangeError",
      message: "Cannot start decode workers: their number is " +
        `${numWorkers}, must be a whole number >= 0`,
    });
  }
});

Deno.test("PictureMaker.stop() drops the jobs that wait", async () => {
  const maker = createPictureMaker({ settings: null, cacheBytes: 0 });
  const jobs = Promise.all([maker.make(JOB), maker.make(JOB)]);
  await maker.stop();
  const error = "Cannot decode no/such.jpg: the loader was closed";
  assert.deepEqual(await jobs, [{ error }, { error }]);
});

Deno.test("isWorkerScope() is false on the main thread", () => {
  assert.equal(isWorkerScope(), false);
});
