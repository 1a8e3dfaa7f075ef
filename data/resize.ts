import type { Size } from "./crops.ts";
import type { Pixels } from "./pixels.ts";

/**
 * Resizes as OpenCV's `INTER_LINEAR` does: pixel centres at half integers, edges repeated, and the
 * nearest four pixels whatever the factor, so a large reduction aliases, as in training by PyTorch.
 *
 * @param from Extent of `pixels`, px.
 * @param to Extent of the result, px.
 * @returns New pixels, within 1 grey level of OpenCV's fixed-point arithmetic.
 */
export function resizeBilinear(pixels: Uint8Array, from: Size, to: Size): Pixels {
  const out = new Uint8Array(to.width * to.height * 3);
  const columns = taps(from.width, to.width);
  const rows = taps(from.height, to.height);
  let o = 0;
  for (let y = 0; y < to.height; y++) {
    const above = rows.first[y]! * from.width * 3;
    const below = rows.second[y]! * from.width * 3;
    const fy = rows.weight[y]!;
    for (let x = 0; x < to.width; x++) {
      const left = columns.first[x]! * 3;
      const right = columns.second[x]! * 3;
      const fx = columns.weight[x]!;
      for (let c = 0; c < 3; c++, o++) {
        const a = pixels[above + left + c]!;
        const b = pixels[below + left + c]!;
        const upper = a + fx * (pixels[above + right + c]! - a);
        const lower = b + fx * (pixels[below + right + c]! - b);
        out[o] = upper + fy * (lower - upper) + 0.5;
      }
    }
  }
  return out;
}

/** The two source positions of each target position, and the weight of the second. */
function taps(from: number, to: number) {
  const first = new Int32Array(to);
  const second = new Int32Array(to);
  const weight = new Float32Array(to);
  for (let i = 0; i < to; i++) {
    const position = Math.min(Math.max(0, (i + 0.5) * (from / to) - 0.5), from - 1);
    first[i] = Math.floor(position);
    second[i] = Math.min(first[i]! + 1, from - 1);
    weight[i] = position - first[i]!;
  }
  return { first, second, weight };
}
