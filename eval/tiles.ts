/**
 * Centres of map tiles from their file names, for tiles that a pairs file does not list.
 *
 * @module
 */
import { distanceMetres } from "../data/geo.ts";
import type { Location } from "../data/pairs.ts";

/** Centre of the tile with this file name; null if the name is not of the rule's kind. */
export type TileRule = (name: string) => Location | null;

const TILE_PX = 256;

/**
 * GTA-UAV: `{zoom}_{offset}_{x}_{y}.png` on a map of 24,576 px of 0.45 m; metres from its top left.
 *
 * @see `dataset/gta.py` of GTA-UAV
 */
export function gtaTileCentre(name: string): Location | null {
  const match = /^([0-9])_(\d+)_(\d+)_(\d+)\.png$/.exec(name);
  if (match === null) return null;
  const [zoom, offset, x, y] = match.slice(1).map(Number) as [number, number, number, number];
  const side = 0.45 * 24576 / 2 ** zoom;
  const shift = 0.5 + offset / TILE_PX;
  return { unit: "metres", x: side * (x + shift), y: side * (y + shift) };
}

/** Maps of UAV-VisLoc: left top and right bottom in degrees, height and width in pixels. */
// deno-fmt-ignore
const VISLOC_MAPS = new Map([
  ["01", { north: 29.774065, west: 115.970635, south: 29.702283, east: 115.996851, height: 26762, width: 9774 }],
  ["02", { north: 29.817376, west: 116.033769, south: 29.725402, east: 116.064566, height: 34291, width: 11482 }],
  ["03", { north: 32.355491, west: 119.805926, south: 32.29029, east: 119.900052, height: 24308, width: 35092 }],
  ["04", { north: 32.254036, west: 119.90598, south: 32.151018, east: 119.954509, height: 38408, width: 18093 }],
  ["05", { north: 24.666899, west: 102.340055, south: 24.650422, east: 102.365252, height: 6144, width: 9394 }],
  ["06", { north: 32.373177, west: 109.63516, south: 32.346944, east: 109.656837, height: 9780, width: 8082 }],
  ["07", { north: 40.340058, west: 115.791182, south: 40.339604, east: 115.79923, height: 170, width: 3000 }],
  ["08", { north: 30.947227, west: 120.136489, south: 30.903521, east: 120.252951, height: 16294, width: 43421 }],
  ["10", { north: 40.355093, west: 115.776356, south: 40.341475, east: 115.794041, height: 5077, width: 6593 }],
  ["11", { north: 38.852301, west: 101.013109, south: 38.807825, east: 101.092483, height: 16582, width: 29592 }],
]);

/**
 * UAV-VisLoc: `{map}_{zoom}_{x}_{y}.png` on one of its ten maps; degrees.
 *
 * At the largest zoom the map has its own pixels, at each zoom below half as many, rounded up.
 *
 * @see `scripts/prepare_dataset/visloc.py` of GTA-UAV
 */
export function visLocTileCentre(name: string): Location | null {
  const match = /^(\d\d)_(\d+)_(\d{3,})_(\d{3,})\.png$/.exec(name);
  const map = VISLOC_MAPS.get(match?.[1] ?? "");
  if (match === null || map === undefined) return null;
  const [zoom, x, y] = match.slice(2).map(Number) as [number, number, number];
  const maxZoom = Math.ceil(Math.log2(Math.max(map.width, map.height) / TILE_PX));
  const scale = 2 ** (maxZoom - zoom);
  const right = (x + 0.5) * TILE_PX / Math.ceil(map.width / scale);
  const down = (y + 0.5) * TILE_PX / Math.ceil(map.height / scale);
  return {
    unit: "degrees",
    lat: map.north - down * (map.north - map.south),
    lon: map.west + right * (map.east - map.west),
  };
}

/** How far a rule may be from a location that the file gives, metres. */
const RULE_TOLERANCE = 1;

/**
 * The rule that gives all known tiles of a folder where the file says they are, to 1 m.
 *
 * Names alone are not believed: anybody may call tiles `04_5_001_002.png`.
 *
 * @param known File name and location of listed tiles.
 * @returns A rule that knows no tile if none is known or none of the rules agrees.
 */
export function tileRuleFor(known: Iterable<readonly [string, Location]>): TileRule {
  const tiles = [...known];
  const agrees = (rule: TileRule) =>
    tiles.length > 0 && tiles.every(([name, location]) => {
      const centre = rule(name);
      return centre?.unit === location.unit && distanceMetres(centre, location) <= RULE_TOLERANCE;
    });
  return [gtaTileCentre, visLocTileCentre].find(agrees) ?? (() => null);
}
