/**
 * Pictures of a synthetic world: cameras at any height and angle, seasons, sun and haze.
 *
 * @module
 */
import type { Size } from "./crops.ts";
import { type Pixels, toByte } from "./pixels.ts";
import type { Point } from "./synthetic_polygon.ts";
import { CELL, type Cover, COVERS, type Ground } from "./synthetic_ground.ts";

/** Time of year: what the colours of plants depend on. */
export type Season = "spring" | "summer" | "autumn";

/** A camera above the world. */
export interface Camera {
  /** Ground in the middle of the picture, metres from the north-west corner of the world. */
  x: number;
  y: number;
  /** Above ground, metres. */
  altitude: number;
  /** Direction of the picture's upper edge, radians clockwise from north. */
  heading: number;
  /** Angle from straight down towards the heading, radians. */
  tilt: number;
  /** Ground across the middle of the picture divided by the distance to it. */
  spread: number;
}

/** What the colours of a picture depend on, beside the ground. */
export interface Light {
  season: Season;
  /** Where the sun stands, radians clockwise from north. */
  azimuth: number;
  /** Its height, radians. */
  elevation: number;
  /** Factor of all colours, 1 for none. */
  exposure: number;
  /** Above 0 for more red and less blue. */
  warmth: number;
  /** Share of grey in front of the ground, 0 to 1. */
  haze: number;
}

type Colour = readonly [red: number, green: number, blue: number];

/** Colours in spring, summer and autumn. */
const COLOURS: Record<Cover, Record<Season, Colour>> = {
  "water": { spring: [58, 80, 84], summer: [46, 70, 76], autumn: [50, 68, 76] },
  "asphalt": { spring: [122, 122, 124], summer: [134, 132, 128], autumn: [112, 112, 114] },
  "track": { spring: [164, 146, 116], summer: [188, 168, 132], autumn: [142, 122, 98] },
  "meadow": { spring: [104, 148, 62], summer: [122, 146, 66], autumn: [124, 134, 74] },
  "wheat": { spring: [140, 166, 74], summer: [212, 188, 116], autumn: [192, 166, 112] },
  "maize": { spring: [104, 126, 64], summer: [66, 112, 48], autumn: [118, 122, 60] },
  "rapeseed": { spring: [218, 206, 62], summer: [190, 186, 84], autumn: [156, 150, 78] },
  "beet": { spring: [84, 128, 60], summer: [72, 144, 52], autumn: [88, 146, 58] },
  "plough": { spring: [112, 82, 60], summer: [122, 92, 68], autumn: [102, 76, 56] },
  "chalk": { spring: [204, 196, 182], summer: [210, 202, 186], autumn: [190, 182, 168] },
  "clay": { spring: [170, 104, 78], summer: [178, 112, 82], autumn: [158, 94, 70] },
  "lavender": { spring: [128, 118, 136], summer: [142, 114, 160], autumn: [128, 110, 140] },
  "flax": { spring: [118, 142, 128], summer: [122, 144, 168], autumn: [132, 138, 118] },
  "garden": { spring: [112, 144, 78], summer: [118, 138, 82], autumn: [120, 126, 78] },
  "broadleaf": { spring: [96, 128, 60], summer: [62, 98, 46], autumn: [150, 112, 52] },
  "conifer": { spring: [50, 80, 52], summer: [46, 76, 48], autumn: [48, 72, 48] },
  "red roof": { spring: [172, 92, 68], summer: [178, 96, 70], autumn: [164, 88, 66] },
  "grey roof": { spring: [146, 146, 146], summer: [152, 150, 148], autumn: [140, 140, 142] },
  "dark roof": { spring: [86, 82, 84], summer: [90, 86, 86], autumn: [82, 80, 82] },
};
const HAZE: Colour = [196, 204, 214];
// Chosen by eye: a tone of 0 or 255 makes a cover 58 % darker or lighter, and a slope of 45 degrees
// that faces the sun gets 30 % more of it than flat ground.
const PER_TONE = 0.0045;
const PER_RISE = 0.04; // decimetre over NEAR cells
const NEAR = 1.5;
const SHADOW = 0.45; // brightness without sun, 1 on flat ground with it
const HIGHEST = 16; // of trees and roofs, metres
const LAYERS = 6; // heights at which a ray is compared with what stands there
const SAMPLES = 2; // rays a pixel along each side

/** The camera of a square map tile: so far up that all its rays are parallel. */
export function mapCamera(x: number, y: number, side: number): Camera {
  const altitude = 1e7;
  return { x, y, altitude, heading: 0, tilt: 0, spread: side / altitude };
}

/** Corners of the ground that a picture shows, clockwise from the one at its top left. */
export function footprintOf(camera: Camera, size: Size): Point[] {
  const { eye, ray } = raysOf(camera, size);
  const { width, height } = size;
  return [[0, 0], [width, 0], [width, height], [0, height]].map(([column, row]) => {
    const [x, y] = ray(column!, row!);
    return [eye[0] + x * camera.altitude, eye[1] + y * camera.altitude];
  });
}

/**
 * Where the camera is, metres, and how far to the east and south of it the ray through a place of
 * the picture, pixels, gets with each metre that it falls.
 */
function raysOf(
  { x, y, altitude, heading, tilt, spread }: Camera,
  { width, height }: Size,
): { eye: Point; ray: (column: number, row: number) => Point } {
  const [sin, cos, tangent] = [Math.sin(heading), Math.cos(heading), Math.tan(tilt)];
  const pixel = spread / width;
  return {
    eye: [x - altitude * tangent * sin, y + altitude * tangent * cos],
    ray: (column, row) => {
      const right = (column - width / 2) * pixel;
      const up = (height / 2 - row) * pixel;
      // In the plane of heading and vertical, the ray is turned by the tilt.
      const fall = Math.cos(tilt) - up * Math.sin(tilt);
      const ahead = (Math.sin(tilt) + up * Math.cos(tilt)) / fall;
      const aside = right / fall;
      return [ahead * sin + aside * cos, aside * sin - ahead * cos];
    },
  };
}

/**
 * Takes a picture.
 *
 * @param size Pixels; all of the picture should lie on the ground.
 * @returns (height, width, 3) u8 RGB.
 */
export function takePicture(ground: Ground, camera: Camera, light: Light, size: Size): Pixels {
  const { width, height } = size;
  const { eye, ray } = raysOf(camera, size);
  const white = [1 + light.warmth, 1, 1 - light.warmth];
  const share = (1 - light.haze) * light.exposure / SAMPLES ** 2;
  const colours = Float64Array.from(
    COVERS.flatMap((cover) => COLOURS[cover][light.season].map((c, i) => c * white[i]! * share)),
  );
  const sun = sunOf(ground, light);
  const out = new Uint8Array(width * height * 3);
  for (let pixel = 0; pixel < width * height; pixel++) {
    let [red, green, blue] = HAZE.map((value) => value * light.haze) as [number, number, number];
    for (let sample = 0; sample < SAMPLES ** 2; sample++) {
      const slope = ray(
        pixel % width + (sample % SAMPLES + 0.5) / SAMPLES,
        Math.floor(pixel / width) + (Math.floor(sample / SAMPLES) + 0.5) / SAMPLES,
      );
      const cell = cellOn(ground, eye, slope, camera.altitude);
      const brightness = brightnessOf(ground, cell, sun);
      const colour = 3 * ground.cover[cell]!;
      red += colours[colour]! * brightness;
      green += colours[colour + 1]! * brightness;
      blue += colours[colour + 2]! * brightness;
    }
    out[3 * pixel] = toByte(red);
    out[3 * pixel + 1] = toByte(green);
    out[3 * pixel + 2] = toByte(blue);
  }
  return out;
}

/** The cell that a ray meets first on its way down. */
function cellOn({ columns, rows, relief }: Ground, eye: Point, slope: Point, altitude: number) {
  for (let layer = LAYERS;; layer--) {
    const z = layer * HIGHEST / LAYERS;
    const column = Math.floor((eye[0] + slope[0] * (altitude - z)) / CELL);
    const row = Math.floor((eye[1] + slope[1] * (altitude - z)) / CELL);
    const cell = Math.min(rows - 1, Math.max(0, row)) * columns +
      Math.min(columns - 1, Math.max(0, column));
    if (layer === 0 || relief[cell]! >= 10 * z) return cell;
  }
}

/** What lies towards the sun: cells, and how high the way to it is above each, decimetres. */
interface Sun {
  near: number;
  steps: readonly (readonly [offset: number, height: number])[];
}

function sunOf({ columns }: Ground, { azimuth, elevation }: Light): Sun {
  const offset = (cells: number) =>
    Math.round(-Math.cos(azimuth) * cells) * columns + Math.round(Math.sin(azimuth) * cells);
  const steps = Array.from({ length: 6 }, (_, i) => {
    const cells = 3 * (i + 1);
    const height = 10 * cells * CELL * Math.tan(elevation);
    return [offset(cells), height + 5] as const; // or the roughness of a crown would shade itself
  });
  return { near: offset(NEAR), steps };
}

/** Of a cell's cover: its tone, whether it is in shadow, and whether it faces the sun. */
function brightnessOf({ relief, tone }: Ground, cell: number, sun: Sun): number {
  const here = relief[cell]!;
  const tint = 1 + PER_TONE * (tone[cell]! - 128);
  for (const [offset, height] of sun.steps) {
    if (relief[cell + offset]! > here + height) return SHADOW * tint;
  }
  const rise = (relief[cell + sun.near] ?? here) - here;
  const facing = Math.min(1.6, Math.max(0.3, 1 - PER_RISE * rise));
  return (SHADOW + (1 - SHADOW) * facing) * tint;
}
