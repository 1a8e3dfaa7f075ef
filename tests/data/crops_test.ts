import assert from "node:assert/strict";
import { altitudeCropRange, type Box, centerZoomCrop, lowAltitudeCrop } from "../../data/crops.ts";
import { counterRandom } from "../../data/random.ts";

const DRAWS = 10_000;
const PICTURE = { width: 4000, height: 3000 };
const SETTINGS = { scale: [0.15, 0.30], jitter: 0.1 } as const;

function draw(make: (random: () => number) => Box): Box[] {
  return Array.from({ length: DRAWS }, (_, i) => make(counterRandom(i)));
}

/** Fails unless values are uniform in [low, high]: mean, ends and each tenth. */
function assertUniform(values: number[], low: number, high: number, step: number): void {
  const parts = values.map((value) => (value - low) / (high - low));
  assert(Math.min(...parts) >= -step && Math.max(...parts) <= 1 + step);
  const counts = new Array<number>(10).fill(0);
  for (const part of parts) counts[Math.min(9, Math.max(0, Math.floor(part * 10)))]!++;
  // 10,000 draws in tenths: 1,000 each, deviation 30; six of them, and the width of a pixel.
  for (const count of counts) assert(Math.abs(count - 1000) < 180 + DRAWS * step, `${counts}`);
}

Deno.test("lowAltitudeCrop() draws the scale uniformly, the same for both sides", () => {
  const crops = draw((random) => lowAltitudeCrop(PICTURE, SETTINGS, random));
  assertUniform(crops.map(({ width }) => width / 4000), 0.15, 0.30, 1 / 600);
  for (const { width, height } of crops) {
    // floor(4000 s) and floor(3000 s) of one s
    assert(Math.abs(width / 4000 - height / 3000) < 1 / 3000);
    assert(Number.isInteger(width) && Number.isInteger(height));
  }
});

Deno.test("lowAltitudeCrop() moves the centre by whole pixels within a tenth of the crop", () => {
  const crops = draw((random) => lowAltitudeCrop(PICTURE, SETTINGS, random));
  const x = crops.map(({ left, width }) => left + Math.floor(width / 2) - 2000);
  const y = crops.map(({ top, height }) => top + Math.floor(height / 2) - 1500);
  for (const [i, { width, height }] of crops.entries()) {
    assert(Number.isInteger(x[i]) && Math.abs(x[i]!) <= Math.floor(width * 0.1));
    assert(Number.isInteger(y[i]) && Math.abs(y[i]!) <= Math.floor(height * 0.1));
  }
  // Each offset is uniform within its own bound, 45 px at least.
  assertUniform(x.map((dx, i) => dx / Math.floor(crops[i]!.width * 0.1)), -1, 1, 1 / 60);
  assertUniform(y.map((dy, i) => dy / Math.floor(crops[i]!.height * 0.1)), -1, 1, 1 / 45);
  // The two are independent: their correlation has deviation 1 / sqrt(10,000); five of them.
  const dot = (a: number[], b: number[]) => a.reduce((sum, v, i) => sum + v * b[i]!, 0);
  assert(Math.abs(dot(x, y) / Math.sqrt(dot(x, x) * dot(y, y))) < 0.05);
});

Deno.test("lowAltitudeCrop() pushes a box back that its jitter moves over the edge", () => {
  const settings = { scale: [0.9, 1], jitter: 0.5 } as const;
  const crops = draw((random) => lowAltitudeCrop(PICTURE, settings, random));
  let touching = 0;
  for (const { left, top, width, height } of crops) {
    assert(left >= 0 && top >= 0 && left + width <= 4000 && top + height <= 3000);
    if (left === 0 || left + width === 4000) touching++;
  }
  assert(touching > DRAWS / 2); // clamped, not drawn again
});

Deno.test("lowAltitudeCrop() follows the definition to the pixel", () => {
  // s = 0.2: 800 x 601 of 4001 x 3005. Jitter of at most 80 and 60: the first of 161 and the last
  // of 121 offsets. Centre (2000, 1502).
  const draws = [1 / 3, 0, 0.9999];
  const crop = lowAltitudeCrop({ width: 4001, height: 3005 }, SETTINGS, () => draws.shift()!);
  assert.deepEqual(crop, {
    left: 2000 - 80 - 400,
    top: 1502 + 60 - 300,
    width: 800,
    height: 601,
  });
});

Deno.test("centerZoomCrop() takes the middle at a uniform scale", () => {
  const crops = draw((random) => centerZoomCrop(PICTURE, [0.25, 0.55], random));
  assertUniform(crops.map(({ width }) => width / 4000), 0.25, 0.55, 1 / 1200);
  for (const { left, top, width, height } of crops) {
    assert.equal(left, Math.floor((4000 - width) / 2));
    assert.equal(top, Math.floor((3000 - height) / 2));
  }
});

Deno.test("crops of pictures of a few pixels are never empty and always inside", () => {
  for (let side = 1; side < 12; side++) {
    for (let seed = 0; seed < 50; seed++) {
      const size = { width: side, height: 12 - side };
      for (
        const { left, top, width, height } of [
          lowAltitudeCrop(size, SETTINGS, counterRandom(seed)),
          centerZoomCrop(size, [0.25, 0.55], counterRandom(seed)),
        ]
      ) {
        assert(width >= 1 && height >= 1 && left >= 0 && top >= 0);
        assert(left + width <= size.width && top + height <= size.height);
      }
    }
  }
});

Deno.test("altitudeCropRange() is the ratio of the altitudes, at most the whole picture", () => {
  assert.deepEqual(altitudeCropRange(400, [70, 150]), [0.175, 0.375]);
  assert.deepEqual(altitudeCropRange(100, [70, 150]), [0.7, 1]);
  assert.deepEqual(altitudeCropRange(50, [70, 150]), [1, 1]);
});

Deno.test("altitudeCropRange() refuses an altitude that is not above 0", () => {
  for (const altitude of [0, -3, NaN]) {
    assert.throws(() => altitudeCropRange(altitude, [70, 150]), {
      name: "RangeError",
      message: `Cannot derive a crop from the altitude: it is ${altitude} m, must be above 0`,
    });
  }
});
