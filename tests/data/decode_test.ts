import assert from "node:assert/strict";
import sharp from "sharp";
import { decodePicture, openDecoder } from "../../data/decode.ts";
import { openImagescript } from "../../data/decode_imagescript.ts";
import { openSharp } from "../../data/decode_sharp.ts";
import type { Decoder } from "../../data/decoder.ts";
import { assertClose } from "../testing.ts";

const WIDTH = 5;
const HEIGHT = 4;
/** (4, 5, 3), every value its own, so that no flip, turn or channel swap goes unseen. */
const RGB = Uint8Array.from({ length: WIDTH * HEIGHT * 3 }, (_, i) => 4 * i + 10);
const picture = () => sharp(RGB, { raw: { width: WIDTH, height: HEIGHT, channels: 3 } });
const decoders: Decoder[] = [await openSharp(), await openImagescript()];

/** All pixels of a file in its own extent. */
async function pixelsOf(bytes: Uint8Array, decoder: Decoder, width = WIDTH, height = HEIGHT) {
  return (await decodePicture(bytes, { name: "x", width, height, decoder })).pixels;
}

/** JPEG of smooth content, whose values survive compression to a few levels. */
function smoothJpeg(orientation: number): Promise<Uint8Array> {
  const values = Uint8Array.from(
    { length: 48 * 32 * 3 },
    (_, i) => [5 * (Math.floor(i / 3) % 48), 7 * Math.floor(i / 3 / 48), 128][i % 3]!,
  );
  return sharp(values, { raw: { width: 48, height: 32, channels: 3 } })
    .withMetadata({ orientation }).jpeg({ quality: 100, chromaSubsampling: "4:4:4" }).toBuffer();
}

for (const decoder of decoders) {
  const { name } = decoder;

  Deno.test(`decodePicture() with ${name} gives the pixels of a PNG in rows of RGB`, async () => {
    assert.deepEqual(await pixelsOf(await picture().png().toBuffer(), decoder), RGB);
  });

  Deno.test(`decodePicture() with ${name} cuts the crop out of the picture`, async () => {
    const { pixels, ...boxes } = await decodePicture(await picture().png().toBuffer(), {
      name: "x",
      width: 2,
      height: 3,
      decoder,
      crop: (size) => {
        assert.deepEqual(size, { width: WIDTH, height: HEIGHT });
        return { left: 3, top: 1, width: 2, height: 3 };
      },
    });
    const expected = [1, 2, 3].flatMap((y) => [...RGB.slice((y * 5 + 3) * 3, (y * 5 + 5) * 3)]);
    assert.deepEqual([...pixels], expected);
    assert.deepEqual(boxes, {
      crop: { left: 3, top: 1, width: 2, height: 3 },
      picture: { width: WIDTH, height: HEIGHT },
    });
  });

  Deno.test(`decodePicture() with ${name} resizes to the extent asked for`, async () => {
    const pixels = await pixelsOf(await picture().png().toBuffer(), decoder, 1, 2);
    // One column at the middle one, two rows at rows 0.5 and 2.5; a row adds 60, a column 12.
    assert.deepEqual([...pixels], [64, 68, 72, 184, 188, 192]);
  });

  Deno.test(`decodePicture() with ${name} shows all EXIF orientations upright`, async () => {
    for (let orientation = 1; orientation <= 8; orientation++) {
      const bytes = await smoothJpeg(orientation);
      // The upright pixels by libvips, an implementation of its own.
      const upright = sharp(bytes).autoOrient();
      const { data, info: { width, height } } = await upright.raw().toBuffer({
        resolveWithObject: true,
      });
      const whole = await pixelsOf(bytes, decoder, width, height);
      // imagescript's JPEG arithmetic differs by 2 levels; any wrong turn by dozens.
      assertClose(whole, data, { atol: 3, rtol: 0 });

      const crop = { left: 3, top: 6, width: 20, height: 10 };
      const box = await decodePicture(bytes, {
        ...{ name: "x", decoder, crop: () => crop },
        ...{ width: crop.width, height: crop.height },
      });
      const cut = await sharp(data, { raw: { width, height, channels: 3 } })
        .extract(crop).raw().toBuffer();
      assertClose(box.pixels, cut, { atol: 3, rtol: 0 });
    }
  });

  Deno.test(`decodePicture() with ${name} lays transparency over black`, async () => {
    const rgba = Uint8Array.of(200, 100, 50, 255, 200, 100, 50, 0, 200, 100, 50, 51);
    const png = await sharp(rgba, { raw: { width: 3, height: 1, channels: 4 } }).png().toBuffer();
    assert.deepEqual([...await pixelsOf(png, decoder, 3, 1)], [200, 100, 50, 0, 0, 0, 40, 20, 10]);
    const grey = await sharp(Uint8Array.of(200, 255, 200, 0), {
      raw: { width: 2, height: 1, channels: 2 },
    }).toColourspace("b-w").png().toBuffer();
    assert.deepEqual([...await pixelsOf(grey, decoder, 2, 1)], [200, 200, 200, 0, 0, 0]);
  });

  Deno.test(`decodePicture() with ${name} makes RGB of grey and of 16 bits`, async () => {
    const grey = await sharp(Uint8Array.of(9, 200), { raw: { width: 2, height: 1, channels: 1 } })
      .toColourspace("b-w").png().toBuffer();
    assert.deepEqual([...await pixelsOf(grey, decoder, 2, 1)], [9, 9, 9, 200, 200, 200]);
    const deep = await picture().toColourspace("rgb16").png().toBuffer();
    assert.equal((await sharp(deep).metadata()).depth, "ushort");
    assert.deepEqual(await pixelsOf(deep, decoder), RGB);
  });

  Deno.test(`decodePicture() with ${name} makes RGB of CMYK`, async () => {
    const pure = Uint8Array.of(255, 255, 255, 255, 0, 0, 0, 0, 0);
    const cmyk = await sharp(pure, { raw: { width: 3, height: 1, channels: 3 } })
      .resize(48, 16, { kernel: "nearest", fit: "fill" })
      .toColourspace("cmyk").jpeg({ quality: 100 }).toBuffer();
    assert.equal((await sharp(cmyk).metadata()).space, "cmyk");
    const pixels = await pixelsOf(cmyk, decoder, 3, 1);
    // White, red and black by whatever profile: only the order of the values is certain.
    assert(pixels.subarray(0, 3).every((value) => value > 240));
    assert(pixels[3]! > 180 && pixels[4]! < 100 && pixels[5]! < 100);
    assert(pixels.subarray(6).every((value) => value < 60));
  });

  Deno.test(`decodePicture() with ${name} enlarges a single pixel`, async () => {
    const png = await sharp(Uint8Array.of(1, 2, 3), { raw: { width: 1, height: 1, channels: 3 } })
      .png().toBuffer();
    assert.deepEqual([...await pixelsOf(png, decoder, 2, 1)], [1, 2, 3, 1, 2, 3]);
  });

  Deno.test(`decodePicture() with ${name} refuses what is no picture in one line`, async () => {
    const jpeg = await smoothJpeg(1);
    const png = await picture().png().toBuffer();
    const cases = {
      "empty.jpg": new Uint8Array(),
      "text.jpg": new TextEncoder().encode("not a picture, whatever its name says\n".repeat(40)),
      "svg.jpg": new TextEncoder().encode(
        '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="5" height="5"/></svg>',
      ),
      "header.png": png.subarray(0, 20),
      "half.png": png.subarray(0, png.length - 40),
      "header.jpg": jpeg.subarray(0, 100),
      "half.jpg": jpeg.subarray(0, jpeg.length >> 1),
      "zeros.jpg": new Uint8Array(5000),
      "magic.jpg": Uint8Array.of(0xff, 0xd8, 0xff, ...new Uint8Array(600)),
    };
    for (const [name, bytes] of Object.entries(cases)) {
      await assert.rejects(
        decodePicture(bytes, { name, width: 4, height: 4, decoder }),
        (error: Error) => {
          assert.equal(error.name, "SyntaxError");
          assert.match(error.message, new RegExp(`^Cannot decode ${name}: [^\n]{5,}[^.\n]$`));
          return true;
        },
      );
    }
  });

  Deno.test(`decodePicture() with ${name} refuses 60,000 x 60,000 pixels unread`, async () => {
    const png = await picture().png().toBuffer();
    const bomb = Uint8Array.from(png);
    const view = new DataView(bomb.buffer);
    view.setUint32(16, 60_000);
    view.setUint32(20, 60_000);
    view.setUint32(29, crc32(bomb.subarray(12, 29)));
    await assert.rejects(
      decodePicture(bomb, { name: "bomb.png", width: 4, height: 4, decoder }),
      {
        name: "RangeError",
        message: "Cannot decode bomb.png: it declares 60000 x 60000 pixels, must be 1 to 134217728",
      },
    );
  });

  Deno.test(`${name} writes what it reads`, async () => {
    const size = { width: WIDTH, height: HEIGHT };
    assert.deepEqual(await pixelsOf(await decoder.encodePng(RGB, size), decoder), RGB);
    const flat = new Uint8Array(16 * 16 * 3).map((_, i) => [200, 60, 30][i % 3]!);
    const jpeg = await decoder.encodeJpeg(flat, { width: 16, height: 16 }, 95);
    assertClose(await pixelsOf(jpeg, decoder, 16, 16), flat, { atol: 4, rtol: 0 });
    const fine = await decoder.encodeJpeg(RGB, size, 100);
    assert((await decoder.encodeJpeg(RGB, size, 5)).length < fine.length);
  });
}

/** As PNG checks its chunks. @see ISO 3309 */
function crc32(bytes: Uint8Array): number {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}

Deno.test("decodePicture() takes the first frame of an animation", async () => {
  const frames = [...RGB, ...RGB.map((value) => 255 - value)];
  const gif = await sharp(Uint8Array.from(frames), {
    raw: { width: WIDTH, height: 2 * HEIGHT, channels: 3, pageHeight: HEIGHT },
  }).webp({ lossless: true }).toBuffer();
  assert.equal((await sharp(gif).metadata()).pages, 2);
  assert.deepEqual(await pixelsOf(gif, decoders[0]!), RGB);
});

Deno.test("decodePicture() ignores colour profiles, as OpenCV does", async () => {
  const wide = await picture().withIccProfile("p3").png().toBuffer();
  const plain = await sharp(wide, { ignoreIcc: true }).raw().toBuffer();
  assert.notDeepEqual([...plain], [...await sharp(wide).raw().toBuffer()]);
  assert.deepEqual([...await pixelsOf(wide, decoders[0]!)], [...plain]);
});

Deno.test("decodePicture() opens 12,000 x 9,000 pixels", async () => {
  const jpeg = await sharp({
    create: { width: 12_000, height: 9_000, channels: 3, background: { r: 200, g: 100, b: 50 } },
    limitInputPixels: false,
  }).jpeg().toBuffer();
  const pixels = await pixelsOf(jpeg, decoders[0]!, 2, 1);
  assertClose(pixels, [200, 100, 50, 200, 100, 50], { atol: 2, rtol: 0 });
});

Deno.test("sharp keeps its thread awake while it works, and no longer", async () => {
  const sharp = await openSharp();
  const set = globalThis.setInterval;
  const clear = globalThis.clearInterval;
  let timers = 0;
  globalThis.setInterval = ((...args: Parameters<typeof set>) => (timers++, set(...args))) as never;
  globalThis.clearInterval = (id) => (timers--, clear(id));
  try {
    const png = await picture().png().toBuffer();
    const waits = [
      sharp.encodePng(RGB, { width: WIDTH, height: HEIGHT }),
      sharp.encodeJpeg(RGB, { width: WIDTH, height: HEIGHT }, 90),
      sharp.header(png),
      sharp.header(Uint8Array.of(1)),
    ];
    assert.equal(timers, 4);
    const ends = await Promise.allSettled(waits);
    assert.equal(ends.filter(({ status }) => status === "rejected").length, 1);
    assert.equal(timers, 0);
  } finally {
    globalThis.setInterval = set;
    globalThis.clearInterval = clear;
  }
});

Deno.test("openDecoder() prefers sharp", async () => {
  assert.equal((await openDecoder()).name, "sharp");
});

Deno.test("openDecoder() falls back to imagescript where sharp does not load", async () => {
  const config = JSON.parse(await Deno.readTextFile(new URL("../../deno.json", import.meta.url)));
  const sharp = "data:text/javascript,throw new Error('no native part')";
  const map = JSON.stringify({ imports: { ...config.imports, sharp } });
  const decode = import.meta.resolve("../../data/decode.ts");
  const code = `console.log((await (await import("${decode}")).openDecoder()).name)`;
  const { stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      ...["eval", "--no-config", "--no-lock", "--import-map"],
      ...[`data:application/json,${encodeURIComponent(map)}`, code],
    ],
  }).output();
  const text = new TextDecoder();
  assert.equal(text.decode(stdout).trim(), "imagescript", text.decode(stderr));
});

/** A 4 x 4 TIFF of zeros; `format` is 1 for unsigned, 2 for signed, 3 for floats. */
function tiff({ channels, bits, format }: Record<"channels" | "bits" | "format", number>) {
  const bytes = 16 * channels * bits / 8;
  // Width, height, bits, compression, grey or RGB, offset, channels, rows, bytes, more channels, format.
  const tags = [
    ...[[256, 4], [257, 4], [258, bits], [259, 1], [262, channels < 3 ? 1 : 2], [273, 256]],
    ...[[277, channels], [278, 4], [279, bytes], [338, 0], [339, format]],
  ];
  const file = new DataView(new ArrayBuffer(256 + bytes));
  file.setUint32(0, 0x002a4949, true);
  file.setUint32(4, 8, true);
  file.setUint16(8, tags.length, true);
  tags.forEach(([tag, value], i) => {
    // A value of each channel does not fit into the entry: all are in front of the pixels.
    const each = [258, 339].includes(tag!) ? channels : tag === 338 ? Math.max(1, channels - 3) : 1;
    const at = 10 + 12 * i;
    file.setUint16(at, tag!, true);
    file.setUint16(at + 2, 3, true);
    file.setUint32(at + 4, each, true);
    const place = each > 2 ? 160 + 16 * (tag! % 7) : at + 8;
    if (each > 2) file.setUint32(at + 8, place, true);
    for (let c = 0; c < each; c++) file.setUint16(place + 2 * c, value!, true);
  });
  return new Uint8Array(file.buffer);
}

Deno.test("decodePicture() refuses measurements that are stored as pictures", async () => {
  const [decoder] = decoders;
  await pixelsOf(tiff({ channels: 3, bits: 8, format: 1 }), decoder!);
  await pixelsOf(tiff({ channels: 1, bits: 16, format: 1 }), decoder!);
  for (
    const [channels, bits, format, depth] of [
      ...[[5, 8, 1, "uchar"], [3, 32, 3, "float"], [1, 16, 2, "short"]] as const,
    ]
  ) {
    await assert.rejects(pixelsOf(tiff({ channels, bits, format }), decoder!), {
      name: "SyntaxError",
      message: `Cannot decode x: it has ${channels} channels of ${depth}, ` +
        "must be at most 4 of uchar or ushort",
    });
  }
});
