/**
 * Pixels to draw pictures, frames and numbers on, without a font of the machine.
 *
 * @module
 */
import type { Box, Size } from "../../data/crops.ts";
import type { Pixels } from "../../data/pixels.ts";

/** sRGB, 0 to 255. */
export type Colour = readonly [red: number, green: number, blue: number];

/** Rows of a letter, 5 × 7 dots. */
const LETTERS: Readonly<Record<string, string>> = {
  "0": ".###. #...# #..## #.#.# ##..# #...# .###.",
  "1": "..#.. .##.. ..#.. ..#.. ..#.. ..#.. .###.",
  "2": ".###. #...# ....# ...#. ..#.. .#... #####",
  "3": ".###. #...# ....# ..##. ....# #...# .###.",
  "4": "...#. ..##. .#.#. #..#. ##### ...#. ...#.",
  "5": "##### #.... ####. ....# ....# #...# .###.",
  "6": "..##. .#... #.... ####. #...# #...# .###.",
  "7": "##### ....# ...#. ..#.. .#... .#... .#...",
  "8": ".###. #...# #...# .###. #...# #...# .###.",
  "9": ".###. #...# #...# .#### ....# ...#. .##..",
  "-": "..... ..... ..... .###. ..... ..... .....",
  "–": "..... ..... ..... ##### ..... ..... .....",
  ".": "..... ..... ..... ..... ..... .##.. .##..",
  k: "#.... #.... #..#. #.#.. ##... #.#.. #..#.",
  m: "..... ..... ##.#. #.#.# #.#.# #.#.# #.#.#",
  "✓": "..... ....# ...## #..#. ##.#. .##.. ..#..",
  "≈": "..... .#..# #.##. ..... .#..# #.##. .....",
  "✕": "..... #...# .#.#. ..#.. .#.#. #...# .....",
};
const DOT = 2; // px
const WIDTH = 5 * DOT;
const ADVANCE = 6 * DOT;

/** Height of a line of text, px. */
export const LINE_HEIGHT: number = 10 * DOT;

/** A picture in the making. */
export class Canvas {
  readonly width: number;
  readonly height: number;
  /** (height, width, 3) u8 RGB, row-major. */
  readonly pixels: Pixels;

  constructor({ width, height }: Size) {
    this.width = width;
    this.height = height;
    this.pixels = new Uint8Array(width * height * 3).fill(255);
  }

  /** Fills a rectangle that lies within the canvas. */
  fill({ left, top, width, height }: Box, colour: Colour): void {
    for (let y = top; y < top + height; y++) {
      for (let x = left; x < left + width; x++) {
        this.pixels.set(colour, (y * this.width + x) * 3);
      }
    }
  }

  /** Copies a picture that fits into the canvas there. */
  draw(picture: Size & { pixels: Pixels }, left: number, top: number): void {
    const row = picture.width * 3;
    for (let y = 0; y < picture.height; y++) {
      const from = picture.pixels.subarray(y * row, (y + 1) * row);
      this.pixels.set(from, ((top + y) * this.width + left) * 3);
    }
  }

  /** Writes digits and signs that end at `right`; what has no letter here is left blank. */
  write(text: string, { right, top }: { right: number; top: number }, colour: Colour): void {
    [...text].toReversed().forEach((sign, i) => {
      LETTERS[sign]?.split(" ").forEach((dots, y) =>
        [...dots].forEach((dot, x) => {
          const left = right - i * ADVANCE - WIDTH + x * DOT;
          const box = { left, top: top + y * DOT, width: DOT, height: DOT };
          if (dot === "#") this.fill(box, colour);
        })
      );
    });
  }
}
