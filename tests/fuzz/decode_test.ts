import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { crc32, deflateSync } from "node:zlib";
import sharp, { type Sharp } from "sharp";
import { type DecodedPicture, decodePicture, MAX_PIXELS } from "../../data/decode.ts";
import { openImagescript } from "../../data/decode_imagescript.ts";
import { openSharp } from "../../data/decode_sharp.ts";
import type { Decoder } from "../../data/decoder.ts";
import { uniform } from "../testing.ts";
import { assertRefusal, type Choices, fuzz, mutateBytes } from "./fuzz.ts";

const SIZE = 24;

/** Most memory that a picture which is refused may take for a moment, bytes. */
const CAP = 64 * 2 ** 20;

const noise = sharp(Uint8Array.from(uniform(16 * 12 * 3, 1), (x) => 128 + 120 * x), {
  raw: { width: 16, height: 12, channels: 3 },
});

/** Three frames of 16 × 12. */
const frames = sharp(Uint8Array.from(uniform(16 * 36 * 3, 2), (x) => 128 + 120 * x), {
  raw: { width: 16, height: 36, channels: 3, pageHeight: 12 },
});

/** A Buffer's `slice` would be no copy. */
async function bytesOf(picture: Sharp): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await picture.toBuffer());
}

const PICTURES: Record<string, Uint8Array<ArrayBuffer>> = {
  jpeg: await bytesOf(noise.clone().jpeg().withExif({ IFD0: { Orientation: "6" } })),
  progressive: await bytesOf(noise.clone().jpeg({ progressive: true })),
  png: await bytesOf(noise.clone().png()),
  grey: await bytesOf(noise.clone().greyscale().png({ palette: true })),
  webp: await bytesOf(noise.clone().webp()),
  tiff: await bytesOf(noise.clone().tiff()),
  gif: await bytesOf(noise.clone().gif()),
  animatedGif: await bytesOf(frames.clone().gif()),
  animatedWebp: await bytesOf(frames.clone().webp()),
};

function word(n: number): Uint8Array {
  const bytes = new Uint8Array(4);
  new DataView(bytes.buffer).setUint32(0, n);
  return bytes;
}

function chunk(name: string, ...data: Uint8Array[]): Uint8Array {
  const body = Buffer.concat([new TextEncoder().encode(name), ...data]);
  return Buffer.concat([word(body.length - 4), body, word(crc32(body))]);
}

/** A PNG of 8 bit RGB that declares an extent, with these compressed rows. */
function pngOf(width: number, height: number, rows: Uint8Array): Uint8Array {
  return Buffer.concat([
    Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a),
    chunk("IHDR", word(width), word(height), Uint8Array.of(8, 2, 0, 0, 0)),
    chunk("IDAT", rows),
    chunk("IEND"),
  ]);
}

/** A picture with two bytes, or more, put in place. */
function patched(name: string, at: number | string, ...bytes: number[]): Uint8Array {
  const picture = PICTURES[name]!.slice();
  const start = typeof at === "number" ? at : new TextDecoder("latin1").decode(picture).indexOf(at);
  picture.set(bytes, start);
  return picture;
}

const [high, low] = [60_000 >> 8, 60_000 & 255];
const large = [0, 0, high, low];
const zeros = deflateSync(new Uint8Array(2 ** 28)); // 256 MiB in 260 kB

const BOMBS: Record<string, Uint8Array> = {
  "an empty file": new Uint8Array(),
  "zeros": new Uint8Array(1000),
  "text": new TextEncoder().encode("this is no picture\n".repeat(50)),
  "an SVG": new TextEncoder().encode(
    '<svg xmlns="http://www.w3.org/2000/svg" width="16" height="16"><rect width="9"/></svg>',
  ),
  "a whole JPEG of 12,000 x 12,000": await bytesOf(
    sharp({ create: { width: 12_000, height: 12_000, channels: 3, background: "#446644" } })
      .jpeg({ optimiseCoding: false }),
  ),
  "a PNG of 60,000 x 60,000": pngOf(60_000, 60_000, deflateSync(new Uint8Array(1000))),
  "a PNG of 11,000 x 11,000 without rows": pngOf(11_000, 11_000, deflateSync(new Uint8Array(9))),
  "a PNG of 4 x 4 with 256 MiB of rows": pngOf(4, 4, zeros),
  "a JPEG of 60,000 x 60,000": patched(
    "jpeg",
    "\xff\xc0",
    0xff,
    0xc0,
    0,
    17,
    8,
    high,
    low,
    high,
    low,
  ),
  "a GIF of 60,000 x 60,000": patched("gif", 6, low, high, low, high),
  "a WebP of 60,000 x 60,000": patched("animatedWebp", 24, low - 1, high, 0, low - 1, high, 0),
  "a PNG of 0 x 0": pngOf(0, 0, deflateSync(new Uint8Array())),
  "a PNG of 2^31 x 2^31": patched("png", 16, 0x80, 0, 0, 0, 0x80, 0, 0, 0),
  "a PNG of 60,000 x 60,000 with a wrong checksum": patched("png", 16, ...large, ...large),
};

/** Bombs that sharp may decode: rows beyond the last are left, and GIFs have the size of a frame. */
const HARMLESS = ["a PNG of 4 x 4 with 256 MiB of rows", "a GIF of 60,000 x 60,000"];

/** Runs something; returns by how much the process grew meanwhile, at most, bytes. */
async function growth(fn: () => Promise<unknown>): Promise<number> {
  const before = Deno.memoryUsage().rss;
  let peak = before;
  const look = () => peak = Math.max(peak, Deno.memoryUsage().rss);
  const timer = setInterval(look, 1); // sharp works in threads of its own
  await fn();
  look(); // imagescript's memory never shrinks
  clearInterval(timer);
  return peak - before;
}

function damaged(choices: Choices, names: readonly string[]): Uint8Array {
  const picture = PICTURES[choices.of(names)]!;
  switch (choices.below(6)) {
    case 0: // one header, another's body
      return Uint8Array.of(
        ...PICTURES[choices.of(names)]!.subarray(0, 12),
        ...picture.subarray(12),
      );
    case 1:
      return picture.slice(0, choices.below(picture.length));
    case 2:
      return picture; // whole
    default:
      return mutateBytes(choices, picture);
  }
}

function confirm(decoded: DecodedPicture, again: DecodedPicture): void {
  assert.equal(decoded.pixels.length, SIZE * SIZE * 3);
  const { width, height } = decoded.picture;
  assert(width > 0 && height > 0 && width * height <= MAX_PIXELS);
  assert.deepEqual(decoded.crop, { left: 0, top: 0, width, height });
  assert.deepEqual(again, decoded, "decoded twice it is not the same");
}

const decoders: [Decoder, cases: number, names: string[]][] = [
  [await openSharp(), 1500, Object.keys(PICTURES)],
  [await openImagescript(), 600, ["jpeg", "png", "grey"]],
];
for (const [decoder, cases, names] of decoders) {
  const decode = (bytes: Uint8Array) =>
    decodePicture(bytes, { name: "picture", width: SIZE, height: SIZE, decoder });

  Deno.test(`decodePicture() with ${decoder.name} refuses damaged pictures, or decodes them`, () =>
    fuzz<DecodedPicture>({
      cases,
      cap: CAP,
      make(choices) {
        const bytes = damaged(choices, names);
        return {
          input: bytes,
          run: () => decode(bytes),
          confirm: async (decoded) => confirm(decoded, await decode(bytes)),
        };
      },
    }));

  for (const [name, bytes] of Object.entries(BOMBS)) {
    Deno.test(`decodePicture() with ${decoder.name} takes little memory for ${name}`, async () => {
      await decode(PICTURES.png!); // the library itself is loaded
      const start = performance.now();
      let found: DecodedPicture | { error: unknown };
      const grown = await growth(async () => {
        found = await decode(bytes).catch((error) => ({ error }));
      });
      assert(performance.now() - start < 1000);
      assert(grown <= CAP, `it grew by ${grown / 2 ** 20} MiB`);
      if ("error" in found!) assertRefusal(found.error);
      else {
        confirm(found!, await decode(bytes));
        assert(HARMLESS.includes(name), `it is decoded as ${Deno.inspect(found!.picture)}`);
      }
    });
  }

  Deno.test(`${decoder.name}'s memory is noticed`, async () => {
    const side = 5000;
    const rows = deflateSync(new Uint8Array((1 + 3 * side) * side));
    assert(await growth(() => decode(pngOf(side, side, rows))) > CAP);
  });
}
