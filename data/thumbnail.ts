/**
 * Small copies of pictures, for people to look at.
 *
 * @module
 */
import type { Size } from "./crops.ts";
import { decodePicture, openDecoder } from "./decode.ts";
import { type Pixels, turnOfOrientation } from "./pixels.ts";
import { readBytes } from "./read.ts";

/** A small upright picture. */
export interface Thumbnail extends Size {
  /** (height, width, 3) u8 RGB, row-major. */
  pixels: Pixels;
}

/** Decoding takes the nearest pixels only: so many times the extent, averaged, keeps from aliasing. */
const FINER = 4;

/**
 * Reads a picture at a small extent; its sides keep their ratio.
 *
 * @param side Length of the longer side, px.
 * @throws {Error} If the picture cannot be read or decoded.
 */
export async function readThumbnail(path: string, side: number): Promise<Thumbnail> {
  const bytes = await readBytes(path);
  const stored = await (await openDecoder()).header(bytes);
  const scale = side / Math.max(stored.width, stored.height);
  const [width, height] = [stored.width, stored.height]
    .map((length) => Math.max(1, Math.round(length * scale))) as [number, number];
  const { swapAxes } = turnOfOrientation(stored.orientation);
  const size = swapAxes ? { width: height, height: width } : { width, height };
  const { pixels } = await decodePicture(bytes, {
    width: size.width * FINER,
    height: size.height * FINER,
    name: path,
  });
  return { ...size, pixels: averageBlocks(pixels, size) };
}

/** Means of FINER × FINER pixels. */
function averageBlocks(pixels: Pixels, { width, height }: Size): Pixels {
  const out = new Uint8Array(width * height * 3);
  const stride = width * FINER * 3;
  for (let y = 0, o = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let c = 0; c < 3; c++, o++) {
        let sum = 0;
        for (let dy = 0; dy < FINER; dy++) {
          const row = (y * FINER + dy) * stride + x * FINER * 3 + c;
          for (let dx = 0; dx < FINER; dx++) sum += pixels[row + dx * 3]!;
        }
        out[o] = sum / FINER ** 2 + 0.5;
      }
    }
  }
  return out;
}
