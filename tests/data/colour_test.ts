import assert from "node:assert/strict";
import {
  adjustBrightness,
  adjustContrast,
  adjustHue,
  adjustSaturation,
  jitterColours,
} from "../../data/colour.ts";
import { counterRandom } from "../../data/random.ts";
import { assertClose } from "../testing.ts";

const PICTURE = [
  ...[0, 53, 106, 37, 90, 143, 74, 127, 180, 91, 144, 197, 139, 192, 245],
  ...[187, 240, 37, 182, 235, 32, 241, 38, 91, 44, 97, 150],
];

// torchvision 0.29.2, transforms.functional.adjust_NAME of PICTURE / 255 in f64, times 255.
const TORCHVISION: [(pixels: Uint8Array, by: number) => void, number, string][] = [
  [
    adjustBrightness,
    1.2,
    "0,63.6,127.2,44.4,108,171.6,88.8,152.4,216,109.2,172.8,236.4,166.8,230.4," +
    "255,224.4,255,44.4,218.4,255,38.4,255,45.6,109.2,52.8,116.4,180",
  ],
  [
    adjustContrast,
    0.8,
    "25.5,67.9,110.3,55.1,97.5,139.9,84.7,127.1,169.5,98.3,140.7,183.1,136.7," +
    "179.1,221.5,175.1,217.5,55.1,171.1,213.5,51.1,218.3,55.9,98.3,60.7,103.1,145.5",
  ],
  [
    adjustContrast,
    1.3,
    "0,30.7,99.6,9.9,78.8,147.7,58,126.9,195.8,80.1,149,217.9,142.5,211.4,255," +
    "204.9,255,9.9,198.4,255,3.4,255,11.2,80.1,19,87.9,156.8",
  ],
  [
    adjustSaturation,
    1.2,
    "0,55,118.6,28.4,92,155.6,65.4,129,192.6,82.4,146,209.6,130.4,194,255," +
    "184.2,247.8,4.2,179.2,242.8,0,255,24.7,88.3,35.4,99,162.6",
  ],
  [
    adjustHue,
    0.1,
    "10.6,0,106,47.6,37,143,84.6,74,180,101.6,91,197,149.6,139,245,65.2,240,37,60.2," +
    "235,32,241,106.8,38,54.6,44,150",
  ],
  [
    adjustHue,
    -0.15,
    "0,106,63.6,37,143,100.6,74,180,137.6,91,197,154.6,139,245,202.6,240,110.3,37," +
    "235,105.3,32,208.3,38,241,44,150,107.6",
  ],
];

for (const [adjust, by, expected] of TORCHVISION) {
  Deno.test(`${adjust.name}() agrees with torchvision at ${by}`, () => {
    const pixels = Uint8Array.from(PICTURE);
    adjust(pixels, by);
    // Half a level by rounding to bytes, 0.05 by that of the numbers above, and torchvision's
    // weights of grey sum to 0.9999: 0.03.
    assertClose(pixels, expected.split(",").map(Number), { atol: 0.58, rtol: 0 });
  });
}

Deno.test("adjustHue() takes red to green to blue by thirds, and leaves grey", () => {
  const pixels = Uint8Array.of(255, 0, 0, 0, 255, 0, 0, 0, 255, 90, 90, 90);
  adjustHue(pixels, 1 / 3);
  assert.deepEqual([...pixels], [0, 255, 0, 0, 0, 255, 255, 0, 0, 90, 90, 90]);
});

Deno.test("jitterColours() changes nothing when every change is 0", () => {
  const pixels = Uint8Array.from(PICTURE);
  const none = { brightness: 0, contrast: 0, saturation: 0, hue: 0 };
  jitterColours(pixels, none, counterRandom(1));
  assert.deepEqual([...pixels], PICTURE);
});

Deno.test("jitterColours() stays within the range of each change and reaches both ends", () => {
  const only = { brightness: 0, contrast: 0, saturation: 0, hue: 0 };
  const factors = Array.from({ length: 1000 }, (_, seed) => {
    const pixels = Uint8Array.of(100, 100, 100);
    jitterColours(pixels, { ...only, brightness: 0.2 }, counterRandom(seed));
    return pixels[0]! / 100;
  });
  assert.equal(Math.min(...factors), 0.8);
  assert.equal(Math.max(...factors), 1.2);
  assert(Math.abs(factors.reduce((a, b) => a + b) / 1000 - 1) < 0.02); // 5 x 0.115 / sqrt(1000)
});

Deno.test("jitterColours() applies the changes in every order", () => {
  // Brightness then contrast about the mean differs from contrast then brightness.
  const results = new Set<string>();
  for (let seed = 0; seed < 200; seed++) {
    // One draw decides nothing here but the order: all factors are at their upper end.
    const random = counterRandom(seed);
    let draws = 0;
    const pixels = Uint8Array.of(10, 120, 200, 90, 250, 60);
    jitterColours(
      pixels,
      { brightness: 0.5, contrast: 0.5, saturation: 0.5, hue: 0.1 },
      () => draws++ < 4 ? 0.999 : random(),
    );
    results.add(pixels.join());
  }
  // 24 orders; brightness commutes with hue, some others nearly, so fewer results.
  assert(results.size >= 12, `only ${results.size} results`);
});

Deno.test("jitterColours() turns the hue both ways", () => {
  const only = { brightness: 0, contrast: 0, saturation: 0 };
  const seen = Array.from({ length: 200 }, (_, seed) => {
    const pixels = Uint8Array.of(255, 0, 0);
    jitterColours(pixels, { ...only, hue: 0.1 }, counterRandom(seed));
    return pixels;
  });
  const green = seen.filter(([, g]) => g! > 0).length; // towards yellow, else towards magenta
  assert(green > 60 && green < 140, `${green} of 200`); // 100, deviation 7
});

Deno.test("adjustHue() turns back as far as it turns on", () => {
  for (const turns of [0.5, 0.45, 0.35]) {
    const [back, on] = [Uint8Array.from(PICTURE), Uint8Array.from(PICTURE)];
    adjustHue(back, -turns);
    adjustHue(on, 1 - turns);
    assert.deepEqual(back, on);
  }
});
