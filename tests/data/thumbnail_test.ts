import assert from "node:assert/strict";
import { join } from "node:path";
import sharp, { type Sharp } from "sharp";
import { readThumbnail } from "../../data/thumbnail.ts";

async function withPicture(
  picture: (width: number, height: number) => Sharp,
  fn: (path: string) => Promise<void>,
) {
  const folder = await Deno.makeTempDir();
  try {
    const path = join(folder, "picture.png");
    await picture(400, 200).toFile(path);
    await fn(path);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** A picture of `value` grey levels at each place. */
function picture(value: (x: number, y: number) => number) {
  return (width: number, height: number) => {
    const pixels = new Uint8Array(width * height * 3);
    pixels.forEach((_, i) => {
      const place = Math.floor(i / 3);
      pixels[i] = value(place % width, Math.floor(place / width));
    });
    return sharp(pixels, { raw: { width, height, channels: 3 } });
  };
}

Deno.test("readThumbnail() keeps the ratio of the sides and does not alias", () =>
  withPicture(picture((x) => x % 4 === 0 || x % 4 === 3 ? 255 : 0), async (path) => {
    const { width, height, pixels } = await readThumbnail(path, 100);
    assert.deepEqual([width, height], [100, 50]);
    assert.equal(pixels.length, 100 * 50 * 3);
    // 4 x 4 pixels become one, 127.5 in the mean; the middle two of each four alone would be 0.
    assert.ok(pixels.every((value) => value === 128));
  }));

Deno.test("readThumbnail() turns a picture upright", () =>
  withPicture(
    // Orientation 6: the left of what is stored is the top of what is shown.
    (...size) => picture((x) => x < 200 ? 10 : 200)(...size).withMetadata({ orientation: 6 }),
    async (path) => {
      const { width, height, pixels } = await readThumbnail(path, 100);
      assert.deepEqual([width, height], [50, 100]);
      const rows = Array.from({ length: height }, (_, y) => [
        ...new Set(pixels.subarray(y * width * 3, (y + 1) * width * 3)),
      ]);
      assert.deepEqual(rows, [...new Array(50).fill([10]), ...new Array(50).fill([200])]);
    },
  ));

Deno.test("readThumbnail() fails for a file that is no picture or is not there", async () => {
  await assert.rejects(readThumbnail("/none.png", 10), /Cannot read \/none\.png: no such file/);
  await assert.rejects(readThumbnail(new URL(import.meta.url).pathname, 10));
});
