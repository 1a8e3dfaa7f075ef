/**
 * Turns picture files into pixels of the extent the model wants.
 *
 * @module
 */
import type { Box, Size } from "./crops.ts";
import { openImagescript } from "./decode_imagescript.ts";
import { openSharp } from "./decode_sharp.ts";
import type { Decoder, PictureHeader } from "./decoder.ts";
import { boxBeforeTurn, type Pixels, turnOfOrientation, turnPixels } from "./pixels.ts";
import { resizeBilinear } from "./resize.ts";

/** What is wanted of a picture. */
export interface DecodeOptions {
  /** Extent of the result, px; the ratio of the sides is not kept. */
  width: number;
  height: number;
  /** Chooses a box of the upright picture; the whole picture without it. */
  crop?: (picture: Size) => Box;
  /** Path, named in errors. */
  name: string;
  /** The best that loads on this machine without it. */
  decoder?: Decoder;
}

/** A decoded picture. */
export interface DecodedPicture {
  /** (height, width, 3) u8 RGB, row-major. */
  pixels: Pixels;
  /** The box that was cut out of the upright picture. */
  crop: Box;
  /** Extent of the upright picture. */
  picture: Size;
}

/** Largest picture that is opened, pixels: 134 million, 403 MB as RGB. */
export const MAX_PIXELS: number = 2 ** 27;

let best: Promise<Decoder> | undefined;

/** sharp, or imagescript where sharp's native part cannot be loaded. */
export function openDecoder(): Promise<Decoder> {
  return best ??= openSharp().catch(openImagescript);
}

/**
 * Checks what a picture says of itself, as {@linkcode decodePicture} does before it reads pixels.
 *
 * @param bytes The file, or so much of its start as holds the header.
 * @param name Path, named in errors.
 * @throws {RangeError} If the file declares more than {@linkcode MAX_PIXELS}.
 * @throws {SyntaxError} If the file is no picture, is empty, or ends within its header.
 */
export async function checkHeader(bytes: Uint8Array, name: string): Promise<void> {
  await decoding(name, async () => headerOf(bytes, await openDecoder()));
}

/**
 * Decodes a picture, or a box of it, to RGB of a given extent.
 *
 * Of a JPEG only the rows down to the end of the box are decoded. EXIF orientation is applied,
 * transparency becomes black, grey and CMYK become RGB, 16 bits become 8, and of an animation the
 * first frame is taken. The resize is OpenCV's bilinear one, see {@linkcode resizeBilinear}.
 *
 * @param bytes The whole file.
 * @throws {RangeError} If the file declares more than {@linkcode MAX_PIXELS}, before any is read.
 * @throws {SyntaxError} If the file is no picture, is empty, or ends too early.
 */
export function decodePicture(
  bytes: Uint8Array,
  options: DecodeOptions,
): Promise<DecodedPicture> {
  const { width, height, crop, name } = options;
  return decoding(name, async () => {
    const decoder = options.decoder ?? await openDecoder();
    const stored = await headerOf(bytes, decoder);
    const turn = turnOfOrientation(stored.orientation);
    const swapped = ({ width, height }: Size): Size =>
      turn.swapAxes ? { width: height, height: width } : { width, height };
    const picture = swapped(stored);
    const box = crop?.(picture) ?? { left: 0, top: 0, ...picture };
    const storedBox = boxBeforeTurn(box, stored, turn);
    const region = await decoder.region(bytes, storedBox);
    const small = swapped({ width, height }); // resized first: there is less to turn then
    const resized = resizeBilinear(region, storedBox, small);
    release(region);
    const pixels = stored.orientation === 1 ? resized : turnPixels(resized, small, turn);
    return { pixels, crop: box, picture };
  });
}

async function headerOf(bytes: Uint8Array, decoder: Decoder): Promise<PictureHeader> {
  if (bytes.length === 0) throw new SyntaxError("the file is empty");
  const header = await decoder.header(bytes);
  const { width, height } = header;
  if (width * height > 0 && width * height <= MAX_PIXELS) return header;
  throw new RangeError(`it declares ${width} x ${height} pixels, must be 1 to ${MAX_PIXELS}`);
}

/** Gives errors about a picture its name. */
async function decoding<T>(name: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    const [reason] = (cause as Error).message.split(/:?\s*\n/); // libvips goes on for lines
    const ErrorClass = cause instanceof RangeError ? RangeError : SyntaxError;
    throw new ErrorClass(`Cannot decode ${name}: ${reason}`, { cause });
  }
}

/** A whole 12 MP picture is 36 MB; eight workers cannot leave that to the garbage collector. */
function release({ buffer, byteLength }: Uint8Array): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) buffer.transfer(0);
}
