import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { decodePicture } from "../data/decode.ts";
import { loadEmbedder, type LoadOptions } from "../load_embedder.ts";
import { type Adapter, writeAdapter } from "../model/adapter.ts";
import { modelConfig } from "../model/config.ts";
import { randomBackbone } from "../model/hash_rule.ts";
import { writeSafetensors } from "../model/safetensors.ts";
import { backboneOfTensors, timmTensors } from "../model/weights.ts";
import { tinyAdapter, tinyBackbone, tinyConfig } from "./model/tiny.ts";
import { assertClose, GPU_OFF } from "./testing.ts";

const [DRONE, TILE] = ["drone.jpg", "tile.jpg"].map((name) =>
  fileURLToPath(new URL(`./pictures/${name}`, import.meta.url))
) as [string, string];

const imgSize = 32;
const weights = tinyBackbone();
const adapter = tinyAdapter();

/** Embeddings of pictures, as rows. */
async function embed(options: LoadOptions, paths: readonly string[]): Promise<number[][]> {
  using embedder = await loadEmbedder({ imgSize, images: 2, ...options });
  const flat = await embedder.embedPictures(paths);
  return paths.map((_, i) => [...flat.subarray(i * embedder.dim, (i + 1) * embedder.dim)]);
}

/** Registers a test that needs a GPU, which `loadEmbedder` opens by itself. */
function embedderTest(name: string, fn: () => Promise<void>): void {
  Deno.test({ name, ignore: GPU_OFF, fn });
}

embedderTest("embedPictures() gives a row of unit length to each path, in order", async () => {
  // Three pictures, two at a time: the last batch is not full.
  const rows = await embed({ weights, adapter }, [DRONE, TILE, DRONE]);
  assert.deepEqual(rows.map((row) => row.length), [8, 8, 8]);
  for (const row of rows) assertClose([Math.hypot(...row)], [1], { atol: 1e-6, rtol: 0 });
  assert.deepEqual(rows[2], rows[0]);
  assert.notDeepEqual(rows[1], rows[0]);
  assert.deepEqual(await embed({ weights, adapter, numWorkers: 2 }, [TILE, DRONE]), [
    rows[1],
    rows[0],
  ]);
});

embedderTest("embedPictures() embeds what embed() does of the decoded pixels", async () => {
  using embedder = await loadEmbedder({ weights, adapter, imgSize });
  const size = { width: imgSize, height: imgSize };
  const { pixels } = await decodePicture(await Deno.readFile(TILE), { ...size, name: TILE });
  assert.deepEqual(await embedder.embedPictures([TILE]), await embedder.embedder.embed(pixels));
});

embedderTest("loadEmbedder() reads files, and takes the model that the adapter names", async () => {
  const folder = await Deno.makeTempDir();
  const config = modelConfig("vits16");
  const whole = backboneOfTensors(randomBackbone(config, 0), config);
  const file = join(folder, "model.safetensors");
  await writeSafetensors(file, timmTensors(whole));
  await writeAdapter(join(folder, "adapter"), adapter);
  assert.deepEqual(
    await embed({ weights: file, adapter: join(folder, "adapter") }, [DRONE]),
    await embed({ weights: whole, adapter }, [DRONE]),
  );
  assert.deepEqual(
    await embed({ weights: file, model: "vits16" }, [DRONE]),
    await embed({ weights: whole }, [DRONE]),
  );
  await assert.rejects(loadEmbedder({ weights: file }), {
    name: "TypeError",
    message: "Cannot load an embedder: neither `model` nor the adapter names a model",
  });
  await Deno.remove(folder, { recursive: true });
});

embedderTest(
  "loadEmbedder() takes from a whole file the blocks that an adapter is for",
  async () => {
    const folder = await Deno.makeTempDir();
    const config = modelConfig("vits16");
    const whole = backboneOfTensors(randomBackbone(config, 0), config);
    const file = join(folder, "model.safetensors");
    await writeSafetensors(file, timmTensors(whole));
    const cut: Adapter = { ...adapter, input: { imgSize, pool: "avg", depth: 1 } };
    assert.deepEqual(
      await embed({ weights: file, adapter: cut }, [DRONE]),
      await embed({ weights: { ...whole, config: tinyConfig(1) }, adapter }, [DRONE]),
    );
    await Deno.remove(folder, { recursive: true });
  },
);

embedderTest("loadEmbedder() without an adapter gives the backbone's pooled tokens", async () => {
  const rows = await embed({ weights }, [DRONE]);
  assert.equal(rows[0]!.length, 384);
  const untrained = tinyAdapter(tinyConfig(), { head: null });
  for (const module of untrained.modules) module.loraB.fill(0);
  assert.deepEqual(await embed({ weights, adapter: untrained }, [DRONE]), rows);
  assert.notDeepEqual(await embed({ weights, pool: "token" }, [DRONE]), rows);
});

embedderTest(
  "loadEmbedder() refuses an adapter of another backbone, and parts of patches",
  async () => {
    const other = tinyAdapter(tinyConfig(1, "vitb16"));
    await assert.rejects(loadEmbedder({ weights, adapter: other }), TypeError);
    await assert.rejects(loadEmbedder({ weights, imgSize: 40 }), {
      name: "RangeError",
      message: /must be a multiple of 16: current value is 40$/,
    });
  },
);

embedderTest("embedPictures() names the picture that cannot be decoded", async () => {
  using embedder = await loadEmbedder({ weights, imgSize });
  const path = join("nowhere", "none.jpg");
  await assert.rejects(embedder.embedPictures([DRONE, path]), {
    message: `Cannot read ${path}: no such file`,
  });
});

embedderTest(
  "embedPictures() starts its decoding threads once, and close() stops them",
  async () => {
    const { Worker } = globalThis;
    const running = new Set<unknown>();
    globalThis.Worker = class extends Worker {
      constructor(...given: ConstructorParameters<typeof Worker>) {
        super(...given);
        running.add(this);
      }
      override terminate(): void {
        super.terminate();
        running.delete(this);
      }
    };
    try {
      const embedder = await loadEmbedder({ weights, imgSize, numWorkers: 2 });
      const first = await embedder.embedPictures([DRONE]);
      const threads = [...running];
      assert.equal(threads.length, 2);
      assert.deepEqual(await embedder.embedPictures([DRONE]), first);
      assert.deepEqual([...running], threads);
      embedder.close();
      for (let wait = 0; wait < 1000 && running.size > 0; wait++) {
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
      assert.equal(running.size, 0);
    } finally {
      globalThis.Worker = Worker;
    }
  },
);

embedderTest("embedPictures() sees that a picture has changed", async () => {
  const path = await Deno.makeTempFile({ suffix: ".jpg" });
  try {
    using embedder = await loadEmbedder({ weights, imgSize });
    const embeddings: Float32Array[] = [];
    for (const picture of [DRONE, TILE]) {
      await Deno.copyFile(picture, path);
      embeddings.push(await embedder.embedPictures([path]));
    }
    assert.deepEqual(embeddings, [
      await embedder.embedPictures([DRONE]),
      await embedder.embedPictures([TILE]),
    ]);
    assert.notDeepEqual(embeddings[0], embeddings[1]);
  } finally {
    await Deno.remove(path);
  }
});

embedderTest("embedPictures() starts threads anew where one has crashed", async () => {
  const { Worker } = globalThis;
  const started: Worker[] = [];
  globalThis.Worker = class extends Worker {
    constructor(...given: ConstructorParameters<typeof Worker>) {
      super(...given);
      started.push(this);
    }
  };
  try {
    using embedder = await loadEmbedder({ weights, imgSize, numWorkers: 1 });
    const first = await embedder.embedPictures([DRONE]);
    started[0]!.dispatchEvent(new ErrorEvent("error", { message: "gone", cancelable: true }));
    assert.deepEqual(await embedder.embedPictures([DRONE]), first);
    assert.equal(started.length, 2);
  } finally {
    globalThis.Worker = Worker;
  }
});

embedderTest("close() frees the GPU, and so does the end of `using`", async () => {
  for (const end of ["close", Symbol.dispose] as const) {
    const loaded = await loadEmbedder({ weights, imgSize });
    loaded[end]();
    const { reason } = await loaded.gpu.device.lost;
    assert.equal(reason, "destroyed");
    const closed = { message: "Cannot use an embedder that is closed" };
    await assert.rejects(loaded.embedPictures([DRONE]), closed);
    const { embedder } = loaded;
    await assert.rejects(embedder.embed(new Uint8Array(imgSize * imgSize * 3)), closed);
    loaded[end]();
  }
});
