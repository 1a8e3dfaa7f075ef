import assert from "node:assert/strict";
import { addNoise, blurKernel, convolve, sharpenKernel } from "../../data/filter.ts";
import { counterRandom } from "../../data/random.ts";
import { assertClose } from "../testing.ts";

const SIZE = 4;
const PICTURE = Uint8Array.from({ length: SIZE * SIZE * 3 }, (_, i) => {
  const [x, y, c] = [Math.floor(i / 3) % SIZE, Math.floor(i / 3 / SIZE), i % 3];
  return (x * 37 + y * 91 + c * 53 + x * y * 11) % 256;
});

Deno.test("convolve() agrees with OpenCV's filter2D, borders included", () => {
  const kernel = Float64Array.of(0, 1, 2, 3, 4, 5, 6, 7, 9).map((x) => x / 37);
  // cv2.filter2D(picture, -1, kernel) of opencv-python-headless 5.0.0
  const expected = [
    ...[
      92,
      145,
      198,
      114,
      167,
      144,
      159,
      136,
      133,
      165,
      162,
      98,
      174,
      123,
      128,
      138,
      143,
      120,
      144,
    ],
    ...[121, 146, 110, 135, 133, 120, 118, 143, 118, 143, 99, 155, 111, 109, 144, 141, 77, 171],
    ...[106, 104, 127, 124, 101, 134, 111, 136, 101, 126, 124],
  ];
  // Its kernel is f32: a value within 1e-5 of a half may round the other way, none here does.
  assert.deepEqual([...convolve(PICTURE, SIZE, kernel)], expected);
});

Deno.test("convolve() stays within 0 to 255", () => {
  const out = convolve(PICTURE, SIZE, Float64Array.of(0, 0, 0, 0, -3, 0, 0, 0, 0));
  assert(out.every((value) => value === 0));
  const bright = convolve(PICTURE.map(() => 200), SIZE, Float64Array.of(2));
  assert(bright.every((value) => value === 255));
});

Deno.test("blurKernel() is a normalised bump of side 3, 5 or 7", () => {
  const sides = new Set<number>();
  for (let seed = 0; seed < 300; seed++) {
    const kernel = blurKernel(counterRandom(seed));
    sides.add(Math.sqrt(kernel.length));
    assertClose([kernel.reduce((sum, weight) => sum + weight, 0)], [1], { atol: 1e-12, rtol: 0 });
    const centre = kernel[(kernel.length - 1) / 2]!;
    for (const weight of kernel) {
      assert(weight >= 0);
      assert(weight <= centre * 1.1 / 0.9 + 1e-12); // the scatter of the two weights
    }
  }
  assert.deepEqual([...sides].sort(), [3, 5, 7]);
});

/** A kernel of these draws, and of 0.5 once they have run out. */
function blurOf(...draws: number[]) {
  let i = 0;
  return blurKernel(() => draws[i++] ?? 0.5);
}

Deno.test("blurKernel() is wider along one axis when only its angle says so", () => {
  // 7 x 7, sigma 1 and 0.2, upright, Gaussian (shape 1), no scatter.
  const kernel = blurOf(0.99, 1, 0, 0.5, 0.9, 0);
  assert.equal(kernel.length, 49);
  const [right, below] = [kernel[3 * 7 + 4]!, kernel[4 * 7 + 3]!];
  // exp(-1/2) of the centre along x; exp(-25/2) along y
  assertClose([right / kernel[24]!, below / kernel[24]!], [Math.exp(-0.5), Math.exp(-12.5)], {
    atol: 0,
    rtol: 1e-9,
  });
});

Deno.test("blurKernel() has a shape of 0.5 to 8", () => {
  for (const [coin, share, shape] of [[0, 0, 0.5], [0, 1, 1], [0.5, 0, 1], [0.5, 1, 8]] as const) {
    const kernel = blurOf(0, 1, 1, 0.5, coin, share); // 3 x 3, both sigmas 1, upright
    const corner = Math.exp(-0.5 * 2 ** shape);
    assertClose([kernel[0]! / kernel[4]!], [corner], { atol: 0, rtol: 1e-9 });
  }
});

Deno.test("blurKernel() scatters its weights by 10 %", () => {
  const kernel = blurOf(0, 1, 1, 0.5, 0, 0, 0, 0.5, 1); // two corners of 3 x 3 and an edge
  const ratios = [kernel[0]! / kernel[8]!, kernel[1]! / kernel[7]!, kernel[2]! / kernel[8]!];
  assertClose(ratios, [0.9, 1, 1.1], { atol: 0, rtol: 1e-9 });
});

Deno.test("sharpenKernel() blends the picture with its edges", () => {
  // alpha 0.35, lightness 0.75: the middle of both ranges
  const kernel = sharpenKernel(() => 0.5);
  assertClose(kernel, [1, 1, 1, 1, 0, 1, 1, 1, 1].map((x) => x ? -0.35 : 0.65 + 0.35 * 8.75), {
    atol: 1e-12,
    rtol: 0,
  });
});

Deno.test("addNoise() adds normal noise of variance 10 to 50, differently to each channel", () => {
  const side = 64;
  for (const [share, variance] of [[0, 10], [0.5, 30], [0.999999, 50]] as const) {
    const random = counterRandom(5);
    let draws = 0;
    const pixels = new Uint8Array(side * side * 3).fill(128);
    addNoise(pixels, () => draws++ === 0 ? share : random());
    const noise = Array.from(pixels, (value) => value - 128);
    const mean = noise.reduce((a, b) => a + b) / noise.length;
    const square = noise.reduce((a, b) => a + b * b) / noise.length - mean ** 2;
    // 12,288 draws: the mean strays by sqrt(variance / 12288), the variance by itself times
    // sqrt(2 / 12288) = 1.3 %; five of each. Rounding to bytes adds a variance of 1/12.
    assert(Math.abs(mean) < 5 * Math.sqrt(variance / noise.length));
    assert(Math.abs(square - 1 / 12 - variance) < 0.064 * variance);
    const beyond = noise.filter((x) => Math.abs(x) > 1.96 * Math.sqrt(variance)).length;
    assert(Math.abs(beyond / noise.length - 0.05) < 0.02); // normal, not uniform (0)
    const cross = noise.reduce((sum, x, i) => i % 3 ? sum + x * noise[i - 1]! : sum, 0);
    assert(Math.abs(cross / noise.length) < 5 * variance / Math.sqrt(noise.length));
  }
});
