/**
 * Makes one picture of a training sample: crop, mirror, re-encode, colour, filter, dropout, turn.
 *
 * All of it runs on the CPU, in the worker that decodes: at the size of the model's input it costs a
 * third of what the file's decoding does (`deno task bench loader`), and the GPU, which a training
 * step waits for, gets bytes that it only has to normalise.
 *
 * @module
 */
import type { AugmentSettings, View } from "./augment_settings.ts";
import { jitterColours } from "./colour.ts";
import {
  altitudeCropRange,
  type Box,
  centerZoomCrop,
  lowAltitudeCrop,
  type Size,
} from "./crops.ts";
import { type DecodedPicture, decodePicture } from "./decode.ts";
import type { Decoder } from "./decoder.ts";
import { blacken, coarseHoles, gridHoles } from "./dropout.ts";
import { addNoise, blurKernel, convolve, sharpenKernel } from "./filter.ts";
import { turnOfOrientation, turnOfQuarters, turnPixels } from "./pixels.ts";
import { counterRandom, integer } from "./random.ts";

/** What a picture is in a training sample. */
export interface Sample {
  view: View;
  /** Whatever tells samples apart: seed, epoch, entry, duplicate and so on. */
  keys: readonly number[];
  /** Altitude the picture was taken at, m; `null` where unknown. */
  altitudeMeters: number | null;
}

/** What {@linkcode augmentPicture} is to do. */
export interface AugmentOptions {
  /** Path, named in errors. */
  name: string;
  /** Side of the result, px. */
  size: number;
  settings: AugmentSettings;
  sample: Sample;
  decoder: Decoder;
}

/** Pictures of a pair share this stream of random numbers, and have one each besides. */
const JOINT_STREAM = 0;
const STREAM: Record<View, number> = { real_query: 1, gta_query: 1, gallery: 2 };

/** Each transform has its numbers, so that to switch one off changes no other. */
const STEPS = { crop: 0, jpeg: 1, color: 2, filter: 3, dropout: 4, rotate: 5 } as const;

/** The kind of a query by its source: "gta", "GTA" and their like are a game, all others photographs. */
export function queryView(source: string): View {
  return source.toLowerCase().startsWith("gta") ? "gta_query" : "real_query";
}

/**
 * Decodes a picture as one of its random variants.
 *
 * The variant depends on the settings and the keys alone. JPEG artefacts come after the resize, at
 * the scale of the model's input, as the crop never exists at the size of the file.
 *
 * @param bytes The whole file.
 * @returns (size, size, 3) u8 RGB, and the box it shows.
 * @throws {RangeError} If the file declares more than `MAX_PIXELS`, or the altitude is not above 0.
 * @throws {SyntaxError} If the picture cannot be decoded.
 */
export async function augmentPicture(
  bytes: Uint8Array,
  { name, size, settings, sample, decoder }: AugmentOptions,
): Promise<DecodedPicture> {
  const { view: kind, keys } = sample;
  const view = settings[kind];
  const stream = (step: keyof typeof STEPS) => counterRandom(...keys, STREAM[kind], STEPS[step]);
  const square = { width: size, height: size };

  const decoded = await decodePicture(bytes, {
    ...square,
    name,
    decoder,
    crop: (picture) => drawCrop(picture, settings, sample, stream("crop")),
  });
  let { pixels } = decoded;

  if (counterRandom(...keys, JOINT_STREAM)() < settings.flip.p) {
    pixels = turnPixels(pixels, square, turnOfOrientation(2));
  }
  let random = stream("jpeg");
  if (random() < view.jpeg.p) {
    const quality = integer(...view.jpeg.quality, random);
    const jpeg = await decoder.encodeJpeg(pixels, square, quality);
    pixels.set(await decoder.region(jpeg, { left: 0, top: 0, ...square }));
  }
  random = stream("color");
  if (random() < view.color_jitter.p) jitterColours(pixels, view.color_jitter, random);
  random = stream("filter");
  if (random() < view.filter.p) {
    const filter = view.filter.of[integer(0, view.filter.of.length - 1, random)];
    if (filter === "blur") pixels = convolve(pixels, size, blurKernel(random));
    else if (filter === "sharpen") pixels = convolve(pixels, size, sharpenKernel(random));
    else addNoise(pixels, random);
  }
  random = stream("dropout");
  if (random() < view.dropout.p) {
    const dropout = view.dropout.of[integer(0, view.dropout.of.length - 1, random)];
    blacken(pixels, size, dropout === "grid" ? gridHoles(size) : coarseHoles(size, random));
  }
  random = stream("rotate");
  if (random() < settings.rotate.p) {
    pixels = turnPixels(pixels, square, turnOfQuarters(integer(0, 3, random)));
  }
  return { ...decoded, pixels };
}

function drawCrop(
  picture: Size,
  settings: AugmentSettings,
  { view, altitudeMeters }: Sample,
  random: () => number,
): Box {
  const { low_altitude, center_zoom } = settings[view];
  if (random() < low_altitude.p) {
    const scale = settings.altitude_crop !== null && altitudeMeters !== null
      ? altitudeCropRange(altitudeMeters, settings.altitude_crop)
      : low_altitude.scale;
    return lowAltitudeCrop(picture, { ...low_altitude, scale }, random);
  }
  if (random() < center_zoom.p) return centerZoomCrop(picture, center_zoom.scale, random);
  return { left: 0, top: 0, ...picture };
}
