import assert from "node:assert/strict";
import { type Gpu, readTensor } from "../../kernels/gpu.ts";
import { createEmbedder, type Embedder, type EmbedderOptions } from "../../model/embedder.ts";
import { uploadNetwork } from "../../model/network.ts";
import { Trainables } from "../../model/trainables.ts";
import type { Trainer } from "../../model/trainer.ts";
import { assertClose, relativeL2 } from "../testing.ts";
import {
  bitsOf,
  HEIGHT,
  IMAGE,
  modelTest,
  PAIRS,
  tinyAdapter,
  tinyBackbone,
  tinyConfig,
  tinyPixels,
  tinyStep,
  tinyTrainer,
  WIDTH,
} from "./tiny.ts";

const IMAGES = 4; // at a time; a batch has 6

// The design's bound where the same sums are made in another order.
const SAME = 1e-5;

/** An embedder over the network of a trainer. */
function embedderOf(
  gpu: Gpu,
  { network, trainables }: Pick<Trainer, "network" | "trainables">,
  options: Partial<EmbedderOptions> = {},
): Promise<Embedder> {
  const rest = { pool: "avg", images: IMAGES } as const;
  return createEmbedder(gpu, { network, trainables, ...rest, ...options });
}

/** Embeds images in pieces of as many as fit. */
async function embedAll(embedder: Embedder, pixels: Uint8Array): Promise<Float32Array> {
  const parts: Float32Array[] = [];
  for (let start = 0; start < pixels.length; start += IMAGES * IMAGE) {
    parts.push(await embedder.embed(pixels.subarray(start, start + IMAGES * IMAGE)));
  }
  return Float32Array.from(parts.flatMap((part) => [...part]));
}

modelTest("Embedder gives the trainer's embeddings, before and after a step", async (gpu) => {
  const pixels = tinyPixels(2 * PAIRS, 0); // those of tinyStep's first step
  const trainer = await tinyTrainer(gpu); // without dropout: the adapters are merged
  const embedder = await embedderOf(gpu, trainer);
  const before = await embedAll(embedder, pixels);
  tinyStep(trainer, 0.01);
  const [result] = await trainer.results();
  assert(!result!.skipped);
  const seen = await readTensor(gpu, trainer.embeddings);
  assert(relativeL2(before, seen) <= SAME, `${relativeL2(before, seen)}`);
  assert.equal(seen.length, 2 * PAIRS * 8);
  for (let row = 0; row < 2 * PAIRS; row++) {
    assertClose([Math.hypot(...before.subarray(8 * row, 8 * row + 8))], [1], {
      atol: 2 ** -20, // eight squares, their sum and a root, each rounded to 2^-24
      rtol: 0,
    });
  }

  embedder.refresh();
  const after = await embedAll(embedder, pixels);
  assert(relativeL2(after, before) > 1e-3, "the step made no difference");
  trainer.write(pixels, new Float32Array(PAIRS));
  trainer.computeGradients();
  const now = await readTensor(gpu, trainer.embeddings);
  assert(relativeL2(after, now) <= SAME, `${relativeL2(after, now)}`);
  embedder.destroy();
  trainer.destroy();
});

modelTest("Embedder drops nothing where the trainer does", async (gpu) => {
  const pixels = tinyPixels(2 * PAIRS, 0);
  const adapter = tinyAdapter(tinyConfig(), { dropout: 0.3 });
  const [dropping, plain] = [await tinyTrainer(gpu, { adapter }), await tinyTrainer(gpu)];
  const [unmerged, merged] = [await embedderOf(gpu, dropping), await embedderOf(gpu, plain)];
  const expected = await embedAll(merged, pixels);
  const error = relativeL2(await embedAll(unmerged, pixels), expected);
  assert(error <= SAME, `${error}`);
  tinyStep(dropping, 0);
  await dropping.results();
  assert(relativeL2(await readTensor(gpu, dropping.embeddings), expected) > 1e-2);
  for (const each of [unmerged, merged, dropping, plain]) each.destroy();
});

modelTest("Embedder embeds an image the same whatever is beside it", async (gpu) => {
  const trainer = await tinyTrainer(gpu);
  const embedder = await embedderOf(gpu, trainer);
  const pixels = tinyPixels(IMAGES, 5);
  const all = await embedder.embed(pixels);
  assert.equal(all.length, IMAGES * embedder.dim);
  assert.equal(embedder.dim, 8);
  for (const count of [3, 1, 0]) {
    const some = await embedder.embed(pixels.subarray(0, count * IMAGE));
    assert.deepEqual(some, all.slice(0, count * embedder.dim));
  }
  const last = await embedder.embed(pixels.subarray(3 * IMAGE));
  assert.deepEqual(last, all.slice(3 * embedder.dim));
  const [a, b] = [all.slice(0, 8), all.slice(8, 16)];
  assert(relativeL2(a, b) > 1e-3, "different images are embedded alike");
  embedder.destroy();
  trainer.destroy();
});

modelTest("Embedder.embedEach() gives what embed() does, batch by batch", async (gpu) => {
  const trainer = await tinyTrainer(gpu);
  const embedder = await embedderOf(gpu, trainer);
  const batches = [4, 2, 0, 4].map((count, seed) => tinyPixels(count, seed));
  const expected: Float32Array[] = [];
  for (const batch of batches) expected.push(await embedder.embed(batch));
  /** As a loader does: every batch in the same memory. */
  async function* inPlace(of = batches): AsyncGenerator<Uint8Array> {
    const memory = new Uint8Array(IMAGES * IMAGE);
    for (const batch of of) {
      memory.set(batch);
      yield await Promise.resolve(memory.subarray(0, batch.length));
    }
  }
  assert.deepEqual(await Array.fromAsync(embedder.embedEach(inPlace())), expected);
  assert.deepEqual(await Array.fromAsync(embedder.embedEach(inPlace([]))), []);
  for await (const rows of embedder.embedEach(inPlace())) { // whoever stops can begin anew
    assert.deepEqual(rows, expected[0]);
    break;
  }
  assert.deepEqual(await Array.fromAsync(embedder.embedEach(inPlace())), expected);
  const part = embedder.embedEach(inPlace([batches[0]!, batches[1]!.subarray(1)]));
  await assert.rejects(Array.fromAsync(part), RangeError);
  embedder.destroy();
  trainer.destroy();
});

modelTest("Embedder.features() are the embeddings before they get unit length", async (gpu) => {
  const trainer = await tinyTrainer(gpu);
  const embedder = await embedderOf(gpu, trainer);
  const pixels = tinyPixels(3, 5);
  const [features, embeddings] = [await embedder.features(pixels), await embedder.embed(pixels)];
  assert.equal(features.length, 3 * embedder.dim);
  for (let start = 0; start < features.length; start += embedder.dim) {
    const row = features.subarray(start, start + embedder.dim);
    const length = Math.hypot(...row);
    assert(Math.abs(length - 1) > 0.01, `the length is ${length}`);
    // Squares, their sum, a root and a division, each rounded to 2^-24.
    assertClose(row.map((x) => x / length), embeddings.subarray(start, start + embedder.dim), {
      atol: 0,
      rtol: 2 ** -20,
    });
  }
  embedder.destroy();
  trainer.destroy();
});

modelTest("Embedder refuses more images than fit, and parts of images", async (gpu) => {
  const trainer = await tinyTrainer(gpu);
  const embedder = await embedderOf(gpu, trainer);
  await assert.rejects(
    async () => await embedder.embed(tinyPixels(IMAGES + 1, 0)),
    new RangeError(
      `Cannot write ${5 * IMAGE} values to (4,${HEIGHT},${WIDTH},3): it holds ${4 * IMAGE}`,
    ),
  );
  await assert.rejects(
    async () => await embedder.embed(tinyPixels(1, 0).subarray(IMAGE / 2)),
    new RangeError(`Cannot embed 0.5 images: ${IMAGE / 2} bytes of pixels`),
  );
  embedder.destroy();
  trainer.destroy();
});

modelTest("Embedder takes a whole number of images at a time, 1 or more", async (gpu) => {
  const trainer = await tinyTrainer(gpu);
  for (const images of [0, -1, 2.5, NaN, Infinity]) {
    await assert.rejects(
      embedderOf(gpu, trainer, { images }),
      new RangeError(
        `Cannot embed ${images} images at a time: expected a whole number, 1 or more`,
      ),
    );
  }
  trainer.destroy();
});

modelTest("Embedder without a head gives pooled tokens, of each kind", async (gpu) => {
  const config = tinyConfig();
  const adapter = tinyAdapter(config, { head: null });
  const trainables = new Trainables(gpu, adapter, { training: false });
  const network = uploadNetwork(gpu, tinyBackbone(config), trainables, {
    precision: "f32",
    height: HEIGHT,
    width: WIDTH,
    merge: true,
  });
  const pixels = tinyPixels(2, 0);
  const embeddings = [];
  for (const pool of ["avg", "token"] as const) {
    const embedder = await embedderOf(gpu, { network, trainables }, {
      pool,
      images: 2,
    });
    assert.equal(embedder.dim, config.embedDim);
    embeddings.push(await embedder.embed(pixels));
    embedder.destroy();
  }
  assert(relativeL2(embeddings[0]!, embeddings[1]!) > 0.1, "both kinds are the same");
  network.destroy();
  trainables.destroy();
});

modelTest("Embedder leaves network, trainables and training alone", async (gpu) => {
  const [alone, watched] = [await tinyTrainer(gpu), await tinyTrainer(gpu)];
  const embedder = await embedderOf(gpu, watched);
  for (let i = 0; i < 3; i++) {
    for (const trainer of [alone, watched]) tinyStep(trainer);
    embedder.refresh();
    await embedder.embed(tinyPixels(IMAGES, 9));
  }
  assert.deepEqual(await watched.results(), await alone.results());
  embedder.destroy();
  for (const trainer of [alone, watched]) tinyStep(trainer);
  assert.deepEqual(await watched.results(), await alone.results());
  assert.equal(bitsOf(await watched.adapter()), bitsOf(await alone.adapter()));
  for (const trainer of [alone, watched]) trainer.destroy();
});
