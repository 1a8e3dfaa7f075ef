/**
 * Crops per second and core out of 12 MP JPEGs, by each way to decode them, and the loader's memory.
 *
 *     deno task bench loader
 *
 * The pictures are made here: 4000 x 3000, soft structure with fine noise on it, 2.3 bits a
 * pixel; the photographs of a real flight have 1.2 to 1.6.
 *
 * @module
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import process from "node:process";
import sharp from "sharp";
import { augmentPicture } from "../data/augment.ts";
import { AUGMENT_DEFAULTS } from "../data/augment_settings.ts";
import { lowAltitudeCrop, type Size } from "../data/crops.ts";
import { type DecodedPicture, decodePicture } from "../data/decode.ts";
import type { Decoder } from "../data/decoder.ts";
import { openImagescript } from "../data/decode_imagescript.ts";
import { openSharp } from "../data/decode_sharp.ts";
import { createPairLoader } from "../data/loader.ts";
import type { Pair } from "../data/pairs.ts";
import { counterRandom } from "../data/random.ts";

const WIDTH = 4000;
const HEIGHT = 3000;
const SIZE = 384; // of the model's input, px
const CROPS = 40; // per row; a tenth of it for imagescript
const WORKERS = 8;
const BATCH = 128; // pairs
const BATCHES = 4;

/** Encodes a picture whose amount of detail is that of a photograph. */
async function makeJpeg(seed: number): Promise<Uint8Array> {
  const random = counterRandom(seed);
  const [width, height] = [WIDTH / 8, HEIGHT / 8];
  const coarse = Uint8Array.from({ length: width * height * 3 }, () => 40 + 176 * random());
  const pixels = await sharp(coarse, { raw: { width, height, channels: 3 } })
    .resize(WIDTH, HEIGHT, { kernel: "cubic" }).raw().toBuffer();
  for (let i = 0; i < pixels.length; i += 3) {
    const noise = 8 * (random() - 0.5);
    for (let c = i; c < i + 3; c++) pixels[c] = pixels[c]! + noise;
  }
  return await sharp(pixels, { raw: { width: WIDTH, height: HEIGHT, channels: 3 } })
    .jpeg({ quality: 90 }).toBuffer();
}

/** The crop of sample `i`, 15 to 30 % a side, the same for every row. */
const cropOf = (i: number) => (picture: Size) =>
  lowAltitudeCrop(picture, { scale: [0.15, 0.30], jitter: 0.1 }, counterRandom(i));

function cropPicture(decoder: Decoder, i: number): Promise<DecodedPicture> {
  const crop = cropOf(i);
  return decodePicture(jpegOf(i), { name: "bench", width: SIZE, height: SIZE, decoder, crop });
}

/** The same crop out of all pixels: what a decoder without regions has to do. */
function wholeFirst(decoder: Decoder): Decoder {
  return {
    ...decoder,
    async region(bytes, box) {
      const { width, height } = await decoder.header(bytes);
      const whole = await decoder.region(bytes, { left: 0, top: 0, width, height });
      const rgb = new Uint8Array(box.width * box.height * 3);
      for (let y = 0; y < box.height; y++) {
        const start = ((box.top + y) * width + box.left) * 3;
        rgb.set(whole.subarray(start, start + box.width * 3), y * box.width * 3);
      }
      return rgb;
    },
  };
}

const jpegs = [await makeJpeg(1), await makeJpeg(2)];
const jpegOf = (i: number) => jpegs[i % jpegs.length]!;
const megabytes = (jpegs[0]!.length / 1e6).toFixed(1);
console.log(`# ${WIDTH} x ${HEIGHT} JPEG of ${megabytes} MB -> ${SIZE} x ${SIZE}`);
await measureLoader(); // first: what imagescript allocates is never given back
await measurePaths();

/** All pictures of 12 MP, references too, which is more than any data set asks for. */
async function measureLoader(): Promise<void> {
  const root = await Deno.makeTempDir();
  const pairs: Pair[] = [];
  for (let entry = 0; entry < BATCH / 2; entry++) {
    const picture = { root, folder: "", name: `${entry}.jpg` };
    await Deno.writeFile(join(root, picture.name), jpegOf(entry));
    const [query, reference] = [picture, picture];
    pairs.push({
      ...{ query, reference, weight: 1, source: "visloc", entry },
      ...{ altitudeMeters: null, duplicateId: 0 },
    });
  }
  const loader = createPairLoader({
    ...{ pairs, imgSize: SIZE, numWorkers: WORKERS, seed: 1, augment: AUGMENT_DEFAULTS },
    onWarning: console.error,
  });
  const before = Deno.memoryUsage().rss;
  let peak = 0;
  const watch = setInterval(() => peak = Math.max(peak, Deno.memoryUsage().rss), 20);
  try {
    const batch = Array.from({ length: BATCH }, (_, i) => i % pairs.length);
    const start = performance.now();
    for await (const _ of loader.batches(0, new Array(BATCHES).fill(batch)));
    const rate = 2 * BATCH * BATCHES / (performance.now() - start) * 1000;
    const [most, least] = [peak, before].map((bytes) => `${(bytes / 2 ** 20).toFixed(0)} MiB`);
    console.log(
      `# loader: ${WORKERS} workers, batches of ${BATCH} pairs, ${rate.toFixed(0)} pictures/s on ` +
        `${navigator.hardwareConcurrency} cores, process at most ${most}, ${least} before`,
    );
  } finally {
    clearInterval(watch);
    await loader.close();
    await Deno.remove(root, { recursive: true });
  }
}

async function measurePaths(): Promise<void> {
  const fast = await openSharp();
  const slow = await openImagescript();

  // Both ways through one decoder give the same pixels; another decoder's inverse DCT and chroma
  // upsampling differ by a few grey levels.
  const [region, whole, other] = await Promise.all(
    [fast, wholeFirst(fast), slow].map((decoder) => cropPicture(decoder, 0)),
  );
  assert.deepEqual(whole!.pixels, region!.pixels);
  const distance = other!.pixels.reduce((sum, x, i) => sum + Math.abs(x - region!.pixels[i]!), 0);
  assert(distance / other!.pixels.length < 4, "imagescript decodes another picture than sharp");

  const { real_query } = AUGMENT_DEFAULTS;
  const always = { ...real_query, low_altitude: { ...real_query.low_altitude, p: 1 } };
  const settings = { ...AUGMENT_DEFAULTS, real_query: always };
  const augmented = (i: number) => {
    const sample = { view: "real_query", keys: [i], altitudeMeters: null } as const;
    return augmentPicture(jpegOf(i), {
      name: "bench",
      size: SIZE,
      settings,
      sample,
      decoder: fast,
    });
  };

  console.log("path\tms wall, median\tms of CPU, mean\tcrops/s per core\tx imagescript");
  const rows: [string, number, (i: number) => Promise<unknown>][] = [
    ["imagescript, whole picture", CROPS / 10, (i) => cropPicture(slow, i)],
    ["sharp, whole picture", CROPS, (i) => cropPicture(wholeFirst(fast), i)],
    ["sharp, region (used)", CROPS, (i) => cropPicture(fast, i)],
    ["the same, augmented", CROPS, augmented],
  ];
  let baseline: number | undefined;
  for (const [name, count, run] of rows) {
    await run(0); // warms up
    const wall: number[] = [];
    const cpu = process.cpuUsage();
    for (let i = 0; i < count; i++) {
      const start = performance.now();
      await run(i);
      wall.push(performance.now() - start);
    }
    const { user, system } = process.cpuUsage(cpu); // of all threads: a core's time, busy machine or not
    const ms = (user + system) / 1000 / count;
    baseline ??= ms;
    const median = wall.sort((a, b) => a - b)[count >> 1]!;
    const numbers = [median, ms, 1000 / ms, baseline / ms].map((x) => x.toFixed(1));
    console.log([name, ...numbers].join("\t"));
  }
}
