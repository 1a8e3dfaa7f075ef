import type { JPEGQuality } from "imagescript";
import type { Box, Size } from "./crops.ts";
import type { Decoder, PictureHeader } from "./decoder.ts";

/**
 * The decoder in WebAssembly, for machines on which sharp's native part does not load: JPEG and PNG
 * only, always the whole picture, some 15 times slower.
 *
 * @throws {Error} If imagescript cannot be loaded.
 */
export async function openImagescript(): Promise<Decoder> {
  const { decode, Image } = await import("imagescript");

  const toImage = (pixels: Uint8Array, { width, height }: Size) => {
    const image = new Image(width, height);
    for (let i = 0; i < width * height; i++) {
      image.bitmap.set(pixels.subarray(i * 3, i * 3 + 3), i * 4);
      image.bitmap[i * 4 + 3] = 255;
    }
    return image;
  };

  return {
    name: "imagescript",
    header(bytes) {
      return Promise.resolve(readHeader(bytes));
    },
    async region(bytes, box) {
      const image = await decode(bytes);
      if (!(image instanceof Image)) throw new SyntaxError("it is animated");
      return overBlack(image.bitmap, image.width, box);
    },
    encodeJpeg(pixels, size, quality) {
      return toImage(pixels, size).encodeJPEG(quality as JPEGQuality);
    },
    encodePng(pixels, size) {
      return toImage(pixels, size).encode();
    },
  };
}

/** RGB of a box of RGBA pixels, laid over black. */
function overBlack(rgba: Uint8ClampedArray, stride: number, box: Box): Uint8Array {
  const rgb = new Uint8Array(box.width * box.height * 3);
  let o = 0;
  for (let y = box.top; y < box.top + box.height; y++) {
    let i = (y * stride + box.left) * 4;
    for (let x = 0; x < box.width; x++, i += 4) {
      const alpha = rgba[i + 3]!;
      for (let c = 0; c < 3; c++) rgb[o++] = Math.floor(rgba[i + c]! * alpha / 255);
    }
  }
  return rgb;
}

/**
 * Reads the extent that a JPEG or PNG declares, and the orientation of a JPEG, which imagescript does
 * not tell before it has allocated the picture.
 *
 * @throws {SyntaxError} If the bytes are neither, or end before their header does.
 */
function readHeader(bytes: Uint8Array): PictureHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  try {
    if (view.getUint32(0) === 0x89504e47) { // "\x89PNG"; IHDR always comes first
      return { width: view.getUint32(16), height: view.getUint32(20), orientation: 1 };
    }
    if (view.getUint16(0) === 0xffd8) return readJpegHeader(view);
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new SyntaxError(`it ends within its header, after ${bytes.length} bytes`, { cause });
  }
  throw new SyntaxError("it is neither JPEG nor PNG, and sharp, which reads more, did not load");
}

/** Walks the segments up to the frame header. @see ITU T.81, annex B */
function readJpegHeader(view: DataView): PictureHeader {
  let orientation = 1;
  for (let at = 2;;) {
    const marker = view.getUint16(at);
    if (marker === 0xffff) { // padding
      at++;
      continue;
    }
    // SOF0 to SOF15, without the tables DHT, JPG and DAC that share their range.
    if (marker >= 0xffc0 && marker <= 0xffcf && ![0xffc4, 0xffc8, 0xffcc].includes(marker)) {
      return { width: view.getUint16(at + 7), height: view.getUint16(at + 5), orientation };
    }
    if (marker < 0xffc0 || marker === 0xffda) {
      throw new SyntaxError("no JPEG frame header before its pixels");
    }
    if (marker === 0xffe1 && view.getUint32(at + 4) === 0x45786966) { // "Exif"
      orientation = readOrientation(view, at + 10) ?? orientation;
    }
    at += 2 + view.getUint16(at + 2);
  }
}

/** Tag 0x0112 of the first directory of a TIFF block, if there. @see EXIF 2.32, section 4.6 */
function readOrientation(view: DataView, tiff: number): number | undefined {
  const little = view.getUint16(tiff) === 0x4949; // "II", else "MM"
  const directory = tiff + view.getUint32(tiff + 4, little);
  const count = view.getUint16(directory, little);
  for (let i = 0; i < count; i++) {
    const entry = directory + 2 + i * 12;
    if (view.getUint16(entry, little) === 0x0112) return view.getUint16(entry + 8, little);
  }
}
