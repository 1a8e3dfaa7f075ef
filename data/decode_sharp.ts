import type { Sharp, SharpOptions } from "sharp";
import type { Box, Size } from "./crops.ts";
import type { Decoder } from "./decoder.ts";

/** SVG, PDF and the like are programs more than pictures: a data set has no business with them. */
const FORMATS: readonly string[] = ["jpeg", "png", "webp", "tiff", "gif", "heif", "jxl", "jp2"];

const OPTIONS: SharpOptions = {
  failOn: "error", // truncated files too, but not the harmless warnings that cameras cause
  ignoreIcc: true, // as OpenCV does; CMYK still goes through a profile
  limitInputPixels: false, // decodePicture has a lower limit, and says what it is
};

const LOOK_MS = 500;

/**
 * Waits for native work, and looks again now and then whether it is done.
 *
 * Without the timer a training once waited for ever: every thread slept, as if all was decoded and
 * the worker's event loop had not been told (Deno 2.9.6).
 */
async function awake<T>(work: Promise<T>): Promise<T> {
  const timer = setInterval(() => {}, LOOK_MS);
  try {
    return await work;
  } finally {
    clearInterval(timer);
  }
}

/**
 * The decoder on libvips, which reads only down to the last row of a box.
 *
 * One thread a picture: the loader runs many pictures at once instead.
 *
 * @throws {Error} If the native part of sharp cannot be loaded on this machine.
 */
export async function openSharp(): Promise<Decoder> {
  const { default: sharp } = await import("sharp");
  sharp.concurrency(1);
  sharp.cache(false); // no operation ever repeats

  const fromRaw = (pixels: Uint8Array, { width, height }: Size): Sharp =>
    sharp(pixels, { raw: { width, height, channels: 3 } });

  return {
    name: "sharp",
    async header(bytes) {
      const { format, width, height, orientation, channels, depth } = await awake(
        sharp(bytes, OPTIONS).metadata(),
      );
      if (!FORMATS.includes(format)) {
        throw new SyntaxError(`its format is ${format}, must be one of ${FORMATS.join(", ")}`);
      }
      // Bands beyond colour and transparency, floats: no picture to look at, as of a thermal camera.
      if (channels > 4 || !["uchar", "ushort"].includes(depth)) {
        throw new SyntaxError(
          `it has ${channels} channels of ${depth}, must be at most 4 of uchar or ushort`,
        );
      }
      return { width, height, orientation: orientation ?? 1 };
    },
    region(bytes: Uint8Array, box: Box): Promise<Uint8Array> {
      return awake(
        sharp(bytes, OPTIONS)
          .extract(box)
          .flatten({ background: "#000" })
          .toColourspace("srgb") // grey and CMYK become RGB, 16 bits become 8
          .raw()
          .toBuffer(),
      );
    },
    encodeJpeg(pixels, size, quality) {
      // Optimised Huffman tables would take a second pass and change no pixel.
      return awake(fromRaw(pixels, size).jpeg({ quality, optimiseCoding: false }).toBuffer());
    },
    encodePng(pixels, size) {
      return awake(fromRaw(pixels, size).png().toBuffer());
    },
  };
}
