/**
 * Blur, sharpening and noise of square u8 RGB pictures, with the defaults of albumentations 1.4.
 *
 * @see https://github.com/albumentations-team/albumentations (AdvancedBlur, Sharpen, GaussNoise)
 * @module
 */
import { type Pixels, toByte } from "./pixels.ts";
import { between, integer } from "./random.ts";

/** A square of weights, row-major, of an odd side. */
export type Kernel = Float64Array;

/**
 * A generalised Gaussian of random side (3, 5, 7), widths (0.2 to 1 px), angle and shape (0.5 to 8),
 * its weights scattered by 10 % and summing to 1.
 *
 * @param random Uniform in [0, 1), called 6 times and once a weight.
 */
export function blurKernel(random: () => number): Kernel {
  const radius = integer(1, 3, random);
  const sigmaX = between([0.2, 1], random);
  const sigmaY = between([0.2, 1], random);
  const angle = between([-Math.PI / 2, Math.PI / 2], random);
  // Heavy tails (below 1) as often as flat tops, though their range is shorter.
  const shape = random() < 0.5 ? between([0.5, 1], random) : between([1, 8], random);

  const kernel = new Float64Array((2 * radius + 1) ** 2);
  let i = 0;
  for (let y = -radius; y <= radius; y++) {
    for (let x = -radius; x <= radius; x++) {
      const u = (x * Math.cos(angle) + y * Math.sin(angle)) / sigmaX;
      const v = (y * Math.cos(angle) - x * Math.sin(angle)) / sigmaY;
      kernel[i++] = Math.exp(-0.5 * (u * u + v * v) ** shape) * between([0.9, 1.1], random);
    }
  }
  const sum = kernel.reduce((total, weight) => total + weight, 0);
  return kernel.map((weight) => weight / sum);
}

/**
 * The picture blended, by 0.2 to 0.5, with 8 to 9 times itself less its neighbours. The weights sum
 * to between 0.75 and 1: sharpening darkens, as in the original.
 *
 * @param random Uniform in [0, 1), called twice.
 */
export function sharpenKernel(random: () => number): Kernel {
  const alpha = between([0.2, 0.5], random);
  const lightness = between([0.5, 1], random);
  const kernel = new Float64Array(9).fill(-alpha);
  kernel[4] = 1 - alpha + alpha * (8 + lightness);
  return kernel;
}

/**
 * Correlates each channel with a kernel; the picture is mirrored about its edge pixels.
 *
 * @param size Side of the picture, px, at least half that of the kernel.
 * @returns New pixels.
 */
export function convolve(pixels: Uint8Array, size: number, kernel: Kernel): Pixels {
  const side = Math.sqrt(kernel.length);
  const radius = (side - 1) / 2;
  const stride = (size + 2 * radius) * 3;
  const padded = pad(pixels, size, radius);
  const out = new Uint8Array(pixels.length);
  const row = new Float64Array(size * 3);
  for (let y = 0; y < size; y++) {
    row.fill(0);
    for (let k = 0; k < kernel.length; k++) {
      const weight = kernel[k]!;
      const from = (y + Math.floor(k / side)) * stride + (k % side) * 3;
      for (let i = 0; i < row.length; i++) row[i]! += weight * padded[from + i]!;
    }
    for (let i = 0; i < row.length; i++) {
      out[y * size * 3 + i] = toByte(row[i]!);
    }
  }
  return out;
}

/** A border of `radius` pixels: c b | a b c | b a. */
function pad(pixels: Uint8Array, size: number, radius: number): Uint8Array {
  const side = size + 2 * radius;
  const padded = new Uint8Array(side * side * 3);
  const mirror = (i: number) => (i < 0 ? -i : i >= size ? 2 * size - 2 - i : i);
  let o = 0;
  for (let y = -radius; y < size + radius; y++) {
    for (let x = -radius; x < size + radius; x++) {
      const i = (mirror(y) * size + mirror(x)) * 3;
      padded[o++] = pixels[i]!;
      padded[o++] = pixels[i + 1]!;
      padded[o++] = pixels[i + 2]!;
    }
  }
  return padded;
}

/**
 * Adds normal noise of a random variance, 10 to 50 grey levels squared, to every value, in place.
 *
 * @param random Uniform in [0, 1), called once and once a value.
 * @see Box and Muller 1958, "A note on the generation of random normal deviates"
 */
export function addNoise(pixels: Uint8Array, random: () => number): void {
  const deviation = Math.sqrt(between([10, 50], random));
  for (let i = 0; i < pixels.length; i += 2) {
    const radius = deviation * Math.sqrt(-2 * Math.log(1 - random())); // 1 - 0 has a logarithm
    const angle = 2 * Math.PI * random();
    pixels[i] = toByte(pixels[i]! + radius * Math.cos(angle));
    if (i + 1 < pixels.length) pixels[i + 1] = toByte(pixels[i + 1]! + radius * Math.sin(angle));
  }
}
