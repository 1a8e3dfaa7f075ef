/**
 * Pixels, (height, width, 3) u8 RGB, row-major, and how to turn them.
 *
 * @module
 */
import type { Box, Size } from "./crops.ts";

/** (height, width, 3) u8 RGB, row-major. */
export type Pixels = Uint8Array<ArrayBuffer>;

/** The nearest value that a pixel can hold; four times as fast as with `Math.round`. */
export function toByte(value: number): number {
  return value <= 0 ? 0 : value >= 255 ? 255 : (value + 0.5) | 0;
}

/** One of the eight ways to lay down a rectangle: mirrored along its own axes, which then swap. */
export interface Turn {
  mirrorX: boolean;
  mirrorY: boolean;
  swapAxes: boolean;
}

/**
 * Turns a picture over.
 *
 * @param size Extent of `pixels`, px; the result has its sides swapped if the turn swaps the axes.
 * @returns New pixels.
 */
export function turnPixels(pixels: Uint8Array, { width, height }: Size, turn: Turn): Pixels {
  const out = new Uint8Array(pixels.length);
  // Steps in the source, in pixels, of one pixel right and one down in the result.
  const stepX = turn.mirrorX ? -1 : 1;
  const stepY = turn.mirrorY ? -width : width;
  const start = (turn.mirrorX ? width - 1 : 0) + (turn.mirrorY ? (height - 1) * width : 0);
  const [right, down] = turn.swapAxes ? [stepY, stepX] : [stepX, stepY];
  const [columns, rows] = turn.swapAxes ? [height, width] : [width, height];
  let o = 0;
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++) {
      const i = (start + y * down + x * right) * 3;
      out[o++] = pixels[i]!;
      out[o++] = pixels[i + 1]!;
      out[o++] = pixels[i + 2]!;
    }
  }
  return out;
}

/** Where a box of the turned picture lies in the picture of extent `size` before its turn. */
export function boxBeforeTurn(box: Box, size: Size, turn: Turn): Box {
  const { left, top, width, height } = turn.swapAxes
    ? { left: box.top, top: box.left, width: box.height, height: box.width }
    : box;
  return {
    left: turn.mirrorX ? size.width - left - width : left,
    top: turn.mirrorY ? size.height - top - height : top,
    width,
    height,
  };
}

/** The turn that an EXIF orientation, 1 to 8, asks for; any other value asks for none. */
export function turnOfOrientation(orientation: number): Turn {
  return {
    mirrorX: [2, 3, 7, 8].includes(orientation),
    mirrorY: [3, 4, 6, 7].includes(orientation),
    swapAxes: [5, 6, 7, 8].includes(orientation),
  };
}

/** The turn by a number of quarters, counter-clockwise as in `numpy.rot90`. */
export function turnOfQuarters(quarters: number): Turn {
  return turnOfOrientation([1, 8, 3, 6][quarters % 4]!);
}
