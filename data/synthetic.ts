/**
 * Data sets of synthetic worlds: satellite tiles at two zooms, drone photos and pairs files, laid
 * out as UAV-VisLoc is, with areas to train and to test on that share no ground.
 *
 * @module
 */
import { join } from "node:path";
import type { Size } from "./crops.ts";
import { openDecoder } from "./decode.ts";
import { between, counterRandom } from "./random.ts";
import { intersectionOverUnion, type Polygon } from "./synthetic_polygon.ts";
import { type Camera, footprintOf, type Light, mapCamera, takePicture } from "./synthetic_views.ts";
import { createWorld, type Landscape } from "./synthetic_world.ts";

/** A region, its satellite picture, and a drone that flew there. */
export interface SyntheticSource {
  /** Of everything random. */
  seed: number;
  /** Numbers of the maps of its two areas. */
  maps: Record<Split, number>;
  landscape: Landscape;
  /** Degrees, of the north-west corner. */
  origin: { lat: number; lon: number };
  /** When the satellite came by. */
  satellite: Light;
  /** When the drone flew; the light of its photos varies about this. */
  drone: Light;
  /** Its photos, pixels, and the width of what they show from 100 m, metres. */
  photo: Size & { span: number };
  /** Above the tiles of the finer zoom, metres; above the others it flies twice as high. */
  altitude: number;
}

/** How much to make of it. */
export interface SyntheticSize {
  /** Tiles of the finer zoom from north to south, an even number. */
  rows: number;
  /** From west to east in each area, even numbers. */
  columns: Record<Split, number>;
  /** Photos of each tile. */
  passes: Record<Split, number>;
}

/** What an area is for. */
export type Split = "train" | "test";

/** A tile of a map; places in metres from the north-west corner of the world. */
export interface Tile {
  name: string;
  left: number;
  top: number;
  side: number;
}

/** Side of a tile of the finer zoom, metres. */
const FINE = 100;
/** Names of the zooms as on UAV-VisLoc's maps, and the sides of their tiles. */
const ZOOMS = [[4, 2 * FINE], [5, FINE]] as const;
/** Around each area: what photos of its outermost tiles show beyond them. */
const MARGIN = 100;
const TILE: Size = { width: 128, height: 128 };
const JPEG_QUALITY = 85;
/** Limits that a weight must be above, as in GTA-UAV and UAV-VisLoc. */
const IOU = { positive: 0.39, semiPositive: 0.14 };
const METRES_PER_DEGREE = 111_320; // of latitude

/**
 * Tiles of an area at both zooms, named as UAV-VisLoc does. The test area lies east of the other
 * one, two margins away.
 */
export function tilesOf(source: SyntheticSource, size: SyntheticSize, split: Split): Tile[] {
  const { rows, columns } = size;
  const west = split === "train" ? MARGIN : 3 * MARGIN + columns.train * FINE;
  return ZOOMS.flatMap(([zoom, side]) => {
    const across = columns[split] * FINE / side;
    return Array.from({ length: across * rows * FINE / side }, (_, i) => {
      const [x, y] = [i % across, Math.floor(i / across)];
      const numbers = [digits(source.maps[split], 2), zoom, digits(x, 3), digits(y, 3)];
      return {
        name: `${numbers.join("_")}.png`,
        left: west + x * side,
        top: MARGIN + y * side,
        side,
      };
    });
  });
}

/** A photo before it is taken. */
export interface Shot {
  name: string;
  camera: Camera;
  light: Light;
}

/**
 * Photos of an area: as on a survey flight some of each tile, with wind, at any heading.
 *
 * @param tiles Of the area.
 */
export function shotsOf(
  source: SyntheticSource,
  { passes }: SyntheticSize,
  split: Split,
  tiles: readonly Tile[],
): Shot[] {
  const { seed, maps, photo, altitude, drone } = source;
  return Array.from({ length: passes[split] * tiles.length }, (_, i) => {
    const random = counterRandom(seed, maps[split], i);
    const { left, top, side } = tiles[i % tiles.length]!;
    const draw = (low: number, high: number) => between([low, high], random);
    return {
      name: `${digits(maps[split], 2)}_${digits(i + 1, 4)}.JPG`,
      camera: {
        x: left + side * draw(0.4, 0.6),
        y: top + side * draw(0.4, 0.6),
        altitude: altitude * side / FINE * draw(0.92, 1.08),
        heading: draw(0, 2 * Math.PI),
        tilt: draw(0, 0.15),
        spread: photo.span / 100,
      },
      light: {
        season: drone.season,
        azimuth: drone.azimuth + draw(-0.3, 0.3),
        elevation: drone.elevation + draw(-0.1, 0.1),
        exposure: drone.exposure * draw(0.92, 1.08),
        warmth: drone.warmth + draw(-0.03, 0.03),
        haze: drone.haze * draw(0.5, 1.5),
      },
    };
  });
}

/** Tiles that show the ground of a footprint, by intersection over union, best first. */
export function matchesOf(
  footprint: Polygon,
  tiles: readonly Tile[],
): { tile: Tile; weight: number }[] {
  return tiles.map((tile) => {
    const { left, top, side } = tile;
    const [right, bottom] = [left + side, top + side];
    const square: Polygon = [[left, top], [right, top], [right, bottom], [left, bottom]];
    return { tile, weight: intersectionOverUnion(footprint, square) };
  }).filter(({ weight }) => weight > IOU.semiPositive).sort((a, b) => b.weight - a.weight);
}

/**
 * Writes a source: `satellite/`, `drone/`, a pairs file for each area, `map.jpg` with all of it.
 *
 * @param root Folder, made if it is not there.
 * @returns Numbers of pictures.
 */
export async function writeSource(
  root: string,
  source: SyntheticSource,
  size: SyntheticSize,
): Promise<{ tiles: number; photos: number }> {
  const width = 4 * MARGIN + (size.columns.train + size.columns.test) * FINE;
  const height = 2 * MARGIN + size.rows * FINE;
  const ground = createWorld({ width, height, seed: source.seed, landscape: source.landscape });
  for (const folder of ["satellite", "drone"]) {
    await Deno.mkdir(join(root, folder), { recursive: true });
  }
  const decoder = await openDecoder();
  const sheet = { width: Math.round(width / 2), height: Math.round(height / 2) };
  const above = mapCamera(width / 2, height / 2, width);
  const whole = takePicture(ground, above, source.satellite, sheet);
  const map = await decoder.encodeJpeg(whole, sheet, JPEG_QUALITY);
  await Deno.writeFile(join(root, "map.jpg"), map);

  const counts = { tiles: 0, photos: 0 };
  for (const split of ["train", "test"] as const) {
    const tiles = tilesOf(source, size, split);
    const shots = shotsOf(source, size, split, tiles);
    for (const { name, left, top, side } of tiles) {
      const camera = mapCamera(left + side / 2, top + side / 2, side);
      const pixels = takePicture(ground, camera, source.satellite, TILE);
      await Deno.writeFile(join(root, "satellite", name), await decoder.encodePng(pixels, TILE));
    }
    for (const { name, camera, light } of shots) {
      const pixels = takePicture(ground, camera, light, source.photo);
      const jpeg = await decoder.encodeJpeg(pixels, source.photo, JPEG_QUALITY);
      await Deno.writeFile(join(root, "drone", name), jpeg);
    }
    const entries = shots.map((shot) => entryOf(shot, source, tiles));
    const file = join(root, `cross-area-drone2sate-${split}.json`);
    await Deno.writeTextFile(file, JSON.stringify(entries, null, 4) + "\n");
    counts.tiles += tiles.length;
    counts.photos += shots.length;
  }
  return counts;
}

/** The element of the pairs file, as UAV-VisLoc's; a picture is where the middle of its ground is. */
function entryOf(
  { name, camera }: Shot,
  { origin, photo }: SyntheticSource,
  tiles: readonly Tile[],
): Record<string, unknown> {
  const degrees = (x: number, y: number) => [
    origin.lat - y / METRES_PER_DEGREE,
    origin.lon + x / (METRES_PER_DEGREE * Math.cos(origin.lat * Math.PI / 180)),
  ];
  const semiPositives = matchesOf(footprintOf(camera, photo), tiles);
  const lists = (mode: string, matches: typeof semiPositives) => ({
    [`pair_${mode}_sate_img_list`]: matches.map(({ tile }) => tile.name),
    [`pair_${mode}_sate_weight_list`]: matches.map(({ weight }) => weight),
    [`pair_${mode}_sate_loc_lat_lon_list`]: matches.map(({ tile: { left, top, side } }) =>
      degrees(left + side / 2, top + side / 2)
    ),
  });
  const yaw = camera.heading * 180 / Math.PI;
  return {
    drone_img_dir: "drone",
    drone_img_name: name,
    drone_loc_lat_lon: degrees(camera.x, camera.y),
    sate_img_dir: "satellite",
    ...lists("pos", semiPositives.filter(({ weight }) => weight > IOU.positive)),
    ...lists("pos_semipos", semiPositives),
    drone_metadata: {
      height: camera.altitude,
      drone_roll: 0,
      drone_pitch: 0,
      drone_yaw: yaw,
      cam_roll: 0,
      cam_pitch: camera.tilt * 180 / Math.PI - 90,
      cam_yaw: yaw,
    },
  };
}

function digits(value: number, count: number): string {
  return String(value).padStart(count, "0");
}
