import assert from "node:assert/strict";
import { join } from "node:path";
import { AUGMENT_DEFAULTS } from "../../data/augment_settings.ts";
import { decodePicture, openDecoder } from "../../data/decode.ts";
import { LETTER, writeLine } from "../../data/lettering.ts";
import { createPairLoader } from "../../data/loader.ts";
import type { Pair } from "../../data/pairs.ts";
import { previewSheet } from "../../data/preview.ts";

/** A line as rows of "#" and "." */
function draw(text: string, scale = 1): string[] {
  const size = { width: text.length * LETTER.width * scale, height: LETTER.height * scale };
  const pixels = new Uint8Array(size.width * size.height * 3);
  writeLine(pixels, size, text, { left: 0, top: 0, scale, limit: 99 });
  return Array.from(
    { length: size.height },
    (_, y) =>
      Array.from({ length: size.width }, (_, x) => pixels[(y * size.width + x) * 3] ? "#" : ".")
        .join(""),
  );
}

Deno.test("writeLine() draws letters upright and in order", () => {
  assert.deepEqual(draw("F1").slice(0, 8), [
    "#####...#...",
    "#......##...",
    "#.......#...",
    "####....#...",
    "#.......#...",
    "#.......#...",
    "#......###..",
    "............",
  ]);
});

Deno.test("writeLine() enlarges, leaves out what is too long, and marks what it cannot draw", () => {
  assert.equal(draw("F", 2)[0], "##########..");
  assert.equal(draw("F", 2)[1], "##########..");
  assert.equal(draw("F", 2)[2], "##..........");
  assert.deepEqual(draw("ї\n"), draw("??"));
  const size = { width: 12, height: 10 };
  const [cut, one] = [new Uint8Array(360), new Uint8Array(360)];
  writeLine(cut, size, "FF", { left: 0, top: 0, scale: 1, limit: 1 });
  writeLine(one, size, "F", { left: 0, top: 0, scale: 1, limit: 9 });
  assert.deepEqual(cut, one);
});

Deno.test("previewSheet() shows pairs exactly as the loader gives them, with text below", async () => {
  const root = await Deno.makeTempDir();
  try {
    const { encodePng } = await openDecoder();
    const picture = Uint8Array.from({ length: 80 * 60 * 3 }, (_, i) => (i * i) >> 7);
    await Deno.writeFile(join(root, "a.png"), await encodePng(picture, { width: 80, height: 60 }));
    const [a, missing] = ["a.png", "b.png"].map((name) => ({ root, folder: "", name }));
    const common = { weight: 0.5, altitudeMeters: null, duplicateId: 0 };
    const pairs: Pair[] = [
      { ...common, query: a!, reference: a!, source: "visloc", entry: 0 },
      { ...common, query: a!, reference: a!, source: "gta", entry: 1 },
      { ...common, query: a!, reference: missing!, source: "vpair", entry: 2 },
    ];
    const options = { pairs, imgSize: 32, seed: 5, augment: AUGMENT_DEFAULTS };
    const png = await previewSheet(options, { indices: [1, 0, 2], epoch: 3 });

    // One pair a row; 36 letters of 6 px and a gap of 8 are wider than a picture.
    const [cell, row, width] = [36 * 6 + 8, 32 + 30 + 16, 2 * (36 * 6 + 8) + 8];
    const height = 3 * row + 8;
    const crop = (left: number, top: number, side: number) =>
      decodePicture(png, {
        ...{ name: "sheet", width: side, height: side },
        crop: (size) => {
          assert.deepEqual(size, { width, height });
          return { left, top, width: side, height: side };
        },
      });

    const loader = createPairLoader({ ...options, numWorkers: 0, onWarning: assert.fail });
    for await (const { pixels } of loader.batches(3, [[1, 0]])) {
      for (let i = 0; i < 4; i++) {
        const shown = await crop(8 + (i >> 1) * cell, 8 + (i & 1) * row, 32);
        assert.deepEqual(shown.pixels, pixels.slice(i * 32 * 32 * 3, (i + 1) * 32 * 32 * 3));
      }
    }
    await loader.close();

    const text = async (left: number, top: number) => {
      const { pixels } = await crop(left, top, 10);
      return Array.from(
        { length: 8 },
        (_, y) =>
          [0, 1, 2, 3, 4, 5].map((x) => pixels[(y * 10 + x) * 3] === 255 ? "#" : ".").join(""),
      );
    };
    const below = 8 + 32 + 8;
    assert.deepEqual(await text(8, below), draw("g").slice(0, 8)); // gta, weight ...
    assert.deepEqual(await text(8, below + row), draw("v").slice(0, 8)); // visloc, weight ...
    assert.deepEqual(await text(8 + cell, below + 10), draw("r").slice(0, 8)); // reference ...
    assert.deepEqual(await text(8 + cell, below + 2 * row + 20), draw("c").slice(0, 8)); // cannot
  } finally {
    await Deno.remove(root, { recursive: true });
  }
});
