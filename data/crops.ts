/**
 * Which part of a picture a training sample shows. Only boxes are made here: the decoder cuts them
 * out while it decodes and resizes them to the model's input, so one bilinear resize stands for the
 * two of the original (crop to picture size, picture to input size).
 *
 * @module
 */
import { between, integer } from "./random.ts";

/** Extent of a picture, px. */
export interface Size {
  width: number;
  height: number;
}

/** A box of a picture, px, origin at the top left. */
export interface Box extends Size {
  left: number;
  top: number;
}

/** Settings of {@linkcode lowAltitudeCrop}. */
export interface LowAltitude {
  /** Smallest and largest share of each side that stays, above 0 to 1. */
  scale: readonly [number, number];
  /** Largest offset of the centre as a share of the *crop's* side, 0 or more. */
  jitter: number;
}

/**
 * The box that a drone at a lower altitude would see (LowAltitudeSimulation).
 *
 * A share of each side, uniform in `scale`, about the centre of the picture, moved by whole pixels,
 * uniform within `jitter` times the box, and pushed back where it leaves the picture.
 *
 * @param random Uniform in [0, 1), called three times.
 * @see https://github.com/AnielAlexa/GTA-UAV (Game4Loc/train_lora_fly.py)
 */
export function lowAltitudeCrop(size: Size, settings: LowAltitude, random: () => number): Box {
  const { width, height } = scaled(size, between(settings.scale, random));
  const left = centredStart(size.width, width, jitter(width, settings.jitter, random));
  const top = centredStart(size.height, height, jitter(height, settings.jitter, random));
  return { left, top, width, height };
}

/**
 * The middle of a picture, a share of each side uniform in `scale` (RandomCenterCropZoom).
 *
 * @param scale Smallest and largest share, above 0 to 1.
 * @param random Uniform in [0, 1), called once.
 * @see https://github.com/AnielAlexa/GTA-UAV (Game4Loc/train_lora_fly.py)
 */
export function centerZoomCrop(
  size: Size,
  scale: readonly [number, number],
  random: () => number,
): Box {
  const { width, height } = scaled(size, between(scale, random));
  const left = Math.floor((size.width - width) / 2);
  const top = Math.floor((size.height - height) / 2);
  return { left, top, width, height };
}

/**
 * The scales of {@linkcode lowAltitudeCrop} that turn one altitude into a range of others.
 *
 * What a camera sees grows with its altitude, so a share target / altitude of each side remains. A
 * target above the altitude would need more than there is: the whole picture, 1.
 *
 * @param altitudeMeters Altitude the picture was taken at, above ground.
 * @param targetMeters Lowest and highest altitude to simulate.
 * @throws {RangeError} If the altitude is not above 0.
 */
export function altitudeCropRange(
  altitudeMeters: number,
  targetMeters: readonly [number, number],
): [number, number] {
  if (!(altitudeMeters > 0)) {
    throw new RangeError(
      `Cannot derive a crop from the altitude: it is ${altitudeMeters} m, must be above 0`,
    );
  }
  const [lowest, highest] = targetMeters;
  return [Math.min(1, lowest / altitudeMeters), Math.min(1, highest / altitudeMeters)];
}

/** Never empty, or a picture of one pixel would have no crop. */
function scaled({ width, height }: Size, scale: number): Size {
  return {
    width: Math.max(1, Math.floor(width * scale)),
    height: Math.max(1, Math.floor(height * scale)),
  };
}

function jitter(side: number, share: number, random: () => number): number {
  const limit = Math.floor(side * share);
  return integer(-limit, limit, random);
}

function centredStart(whole: number, part: number, offset: number): number {
  const start = Math.floor(whole / 2) + offset - Math.floor(part / 2);
  return Math.min(Math.max(0, start), whole - part);
}
