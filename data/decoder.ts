/**
 * What a library that decodes pictures does for us, whichever is loaded.
 *
 * @module
 */
import type { Box, Size } from "./crops.ts";

/** What a file says of itself before its pixels. */
export interface PictureHeader extends Size {
  /** EXIF orientation, 1 to 8; the extent is that before it is applied. */
  orientation: number;
}

/** A library that reads and writes pictures. */
export interface Decoder {
  readonly name: "sharp" | "imagescript";
  /** Reads no pixels. */
  header(bytes: Uint8Array): Promise<PictureHeader>;
  /** RGB of a box of the picture as stored: orientation not applied, transparency over black. */
  region(bytes: Uint8Array, box: Box): Promise<Uint8Array>;
  /** @param quality 1 to 100. */
  encodeJpeg(pixels: Uint8Array, size: Size, quality: number): Promise<Uint8Array>;
  encodePng(pixels: Uint8Array, size: Size): Promise<Uint8Array>;
}
