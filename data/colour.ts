/**
 * Colour jitter of u8 RGB pixels, in place: brightness, contrast, saturation and hue as torchvision
 * and albumentations define them.
 *
 * @see https://pytorch.org/vision/stable/generated/torchvision.transforms.ColorJitter.html
 * @module
 */
import { toByte } from "./pixels.ts";
import { between, integer } from "./random.ts";

/** Settings of {@linkcode jitterColours}: the largest change of each, no unit. */
export interface ColourJitter {
  /** Factor uniform in 1 ± this, 0 or more; likewise the next two. */
  brightness: number;
  contrast: number;
  saturation: number;
  /** Shift uniform in ± this, in turns of the colour circle, 0 to 0.5. */
  hue: number;
}

/**
 * Changes brightness, contrast, saturation and hue, in a random order.
 *
 * @param random Uniform in [0, 1), called eight times.
 */
export function jitterColours(
  pixels: Uint8Array,
  { brightness, contrast, saturation, hue }: ColourJitter,
  random: () => number,
): void {
  const factor = (change: number) => between([Math.max(0, 1 - change), 1 + change], random);
  const changes = [
    { apply: adjustBrightness, by: factor(brightness) },
    { apply: adjustContrast, by: factor(contrast) },
    { apply: adjustSaturation, by: factor(saturation) },
    { apply: adjustHue, by: between([-hue, hue], random) },
  ];
  for (let left = changes.length; left > 0; left--) { // draws without replacement
    const [{ apply, by }] = changes.splice(integer(0, left - 1, random), 1) as [typeof changes[0]];
    apply(pixels, by);
  }
}

/** Multiplies every value. */
export function adjustBrightness(pixels: Uint8Array, factor: number): void {
  mapValues(pixels, (value) => value * factor);
}

/** Multiplies the distance of every value to the mean grey of the picture. */
export function adjustContrast(pixels: Uint8Array, factor: number): void {
  let sum = 0;
  for (let i = 0; i < pixels.length; i += 3) sum += greyAt(pixels, i);
  const mean = sum / (pixels.length / 3);
  mapValues(pixels, (value) => mean + factor * (value - mean));
}

/** Multiplies the distance of every value to the grey of its pixel. */
export function adjustSaturation(pixels: Uint8Array, factor: number): void {
  for (let i = 0; i < pixels.length; i += 3) {
    const grey = greyAt(pixels, i);
    for (let c = i; c < i + 3; c++) pixels[c] = toByte(grey + factor * (pixels[c]! - grey));
  }
}

/** Turns the hue of the HSV cone, by `turns` of the whole circle; red by 1/3 becomes green. */
export function adjustHue(pixels: Uint8Array, turns: number): void {
  const shift = 6 * (turns - Math.floor(turns)); // in sixths of the circle, as all angles below
  for (let i = 0; i < pixels.length; i += 3) {
    const r = pixels[i]!;
    const g = pixels[i + 1]!;
    const b = pixels[i + 2]!;
    const max = r > g ? (r > b ? r : b) : g > b ? g : b;
    const min = r < g ? (r < b ? r : b) : g < b ? g : b;
    const chroma = max - min;
    if (chroma === 0) continue; // grey has no hue
    const hue = max === r
      ? (g - b) / chroma
      : max === g
      ? 2 + (b - r) / chroma
      : 4 + (r - g) / chroma;
    const turned = hue + shift + 1; // 0 to 12
    pixels[i] = toByte(max - chroma * lack(turned + 4));
    pixels[i + 1] = toByte(max - chroma * lack(turned + 2));
    pixels[i + 2] = toByte(max - chroma * lack(turned));
  }
}

/** What a channel lacks of the largest one: a trapezoid over the circle, 1 from 1 to 3. */
function lack(angle: number): number {
  const place = angle % 6;
  const slope = place < 2 ? place : 4 - place;
  return slope <= 0 ? 0 : slope >= 1 ? 1 : slope;
}

/** Luma of ITU-R BT.601, as OpenCV and Pillow weigh it. */
function greyAt(pixels: Uint8Array, i: number): number {
  return 0.299 * pixels[i]! + 0.587 * pixels[i + 1]! + 0.114 * pixels[i + 2]!;
}

function mapValues(pixels: Uint8Array, map: (value: number) => number): void {
  const table = Uint8Array.from({ length: 256 }, (_, value) => toByte(map(value)));
  for (let i = 0; i < pixels.length; i++) pixels[i] = table[pixels[i]!]!;
}
