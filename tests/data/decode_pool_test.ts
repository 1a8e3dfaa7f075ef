import assert from "node:assert/strict";
import { join } from "node:path";
import sharp, { type SharpOptions } from "sharp";
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

for (const numWorkers of [0, 1]) {
  Deno.test(`a pool with ${numWorkers} workers reads a picture again that has changed`, async () => {
    const path = await Deno.makeTempFile({ suffix: ".png" });
    const pool = openDecodePool({ numWorkers, settings: null, cacheBytes: 0 });
    try {
      for (const level of [10, 240]) {
        const create = { width: 4, height: 4, channels: 3, background: { r: level, g: 0, b: 0 } };
        await sharp({ create } as SharpOptions).png().toFile(path);
        const result = await pool.run({ path, size: 4, sample: null });
        assert("pixels" in result);
        assert.equal(result.pixels[0], level);
      }
    } finally {
      await pool.close();
      await Deno.remove(path);
    }
  });
}

Deno.test("a pool waits for a picture that is not there for a moment, but not for ever", async () => {
  const folder = await Deno.makeTempDir();
  const path = join(folder, "late.png");
  const pool = openDecodePool({ numWorkers: 0, settings: null });
  try {
    const create = { width: 4, height: 4, channels: 3, background: "#123456" };
    const late = pool.run({ path, size: 4, sample: null });
    await new Promise((resolve) => setTimeout(resolve, 50));
    await sharp({ create } as SharpOptions).png().toFile(path);
    assert("pixels" in await late);
    const missing = join(folder, "none.png");
    assert.deepEqual(await pool.run({ path: missing, size: 4, sample: null }), {
      error: `Cannot read ${missing}: no such file`,
    });
  } finally {
    await pool.close();
    await Deno.remove(folder, { recursive: true });
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
