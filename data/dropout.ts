/**
 * Blackens rectangles of square u8 RGB pictures, so that no single landmark decides a match.
 *
 * @module
 */
import type { Box } from "./crops.ts";
import { integer } from "./random.ts";

const GRID_CELLS = 10; // a side
const GRID_RATIO = 0.4; // of a cell's side that is black
const COARSE_HOLES = [10, 25] as const;
const COARSE_SIDES = [0.1, 0.2] as const; // of the picture's side

/**
 * The holes of GridDropout: a regular grid of squares, at the top left of each cell.
 *
 * @param size Side of the picture, px.
 * @see Chen et al. 2020, "GridMask data augmentation", arXiv:2001.04086
 */
export function gridHoles(size: number): Box[] {
  const cell = Math.max(2, Math.floor(size / GRID_CELLS));
  const side = Math.min(Math.max(1, Math.floor(cell * GRID_RATIO)), cell - 1);
  const holes: Box[] = [];
  for (let top = 0; top < size; top += cell) {
    for (let left = 0; left < size; left += cell) {
      const width = Math.min(side, size - left);
      const height = Math.min(side, size - top);
      holes.push({ left, top, width, height });
    }
  }
  return holes;
}

/**
 * The holes of CoarseDropout: 10 to 25 rectangles anywhere, their sides 0.1 to 0.2 of the picture's.
 *
 * @param size Side of the picture, px.
 * @param random Uniform in [0, 1), called once and four times a hole.
 * @see DeVries and Taylor 2017, "Improved regularization of convolutional neural networks with
 * Cutout", arXiv:1708.04552
 */
export function coarseHoles(size: number, random: () => number): Box[] {
  const [shortest, longest] = COARSE_SIDES.map((share) => Math.floor(share * size));
  return Array.from({ length: integer(...COARSE_HOLES, random) }, () => {
    const height = integer(shortest!, longest!, random);
    const width = integer(shortest!, longest!, random);
    const top = integer(0, size - height, random);
    const left = integer(0, size - width, random);
    return { left, top, width, height };
  });
}

/** Blackens rectangles in place. @param size Side of the picture, px. */
export function blacken(pixels: Uint8Array, size: number, holes: readonly Box[]): void {
  for (const { left, top, width, height } of holes) {
    for (let y = top; y < top + height; y++) {
      const start = (y * size + left) * 3;
      pixels.fill(0, start, start + width * 3);
    }
  }
}
