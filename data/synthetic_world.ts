/**
 * A landscape from a seed: fields, woods, villages, roads, a river and lakes.
 *
 * @module
 */
import { between, counterRandom, integer } from "./random.ts";
import {
  type Cover,
  createGround,
  fill,
  type Ground,
  mottle,
  type Random,
} from "./synthetic_ground.ts";
import {
  areaOf,
  clipByLine,
  crossLine,
  middleOf,
  type Point,
  type Polygon,
  strip,
} from "./synthetic_polygon.ts";
import { plantHedge, plantWood, settle } from "./synthetic_stands.ts";

/** What is typical of a region. */
export interface Landscape {
  /** Area of a field, square metres, about. */
  fieldArea: number;
  /** Shares of the area, 0 to 1, about. */
  woods: number;
  villages: number;
  /** Share of the woods that are of conifers. */
  conifers: number;
  /** Per square kilometre. */
  lakes: number;
}

const CROPS: readonly Cover[] = [
  "meadow",
  "wheat",
  "maize",
  "rapeseed",
  "beet",
  "plough",
  "chalk",
  "clay",
  "lavender",
  "flax",
];
const LOT_AREA = 900; // of a house with its garden, square metres
const ROAD_LEVEL = 5; // borders before it are roads, 9 to 5 m wide: they part 2^5 blocks
const STREET_LEVEL = 11; // a village's borders before it may be streets, the others part gardens

interface Parcel {
  polygon: Polygon;
  kind: "field" | "wood" | "village";
}

/** Between two halves of the land; at level 0 of all of it. */
interface Border {
  ends: [Point, Point];
  level: number;
  kind: Parcel["kind"];
}

/**
 * Makes a landscape, the same for the same options.
 *
 * @param options.width From west to east, metres.
 * @param options.height From north to south, metres.
 */
export function createWorld(
  { width, height, seed, landscape }: {
    width: number;
    height: number;
    seed: number;
    landscape: Landscape;
  },
): Ground {
  const ground = createGround(width, height);
  const random = counterRandom(seed);
  const { parcels, borders } = divide(rectangle(width, height), landscape, random);
  for (const parcel of parcels) sow(ground, parcel, random);
  mottle(ground, random);
  fill(ground, river(width, height, random), { cover: "water", tone: 128 });
  for (const border of borders) pave(ground, border, random);
  for (let n = Math.round(landscape.lakes * width * height / 1e6); n > 0; n--) {
    flood(ground, [width * random(), height * random()], random);
  }
  for (const { polygon, kind } of parcels) {
    if (kind === "wood") {
      const conifers = random() < landscape.conifers ? 0.9 : 0.1;
      plantWood(ground, { polygon, conifers }, random);
    }
    if (kind === "village") settle(ground, polygon, random);
  }
  return ground;
}

function rectangle(width: number, height: number): Polygon {
  return [[0, 0], [width, 0], [width, height], [0, height]];
}

/** Halves the land until it is in parcels. */
function divide(
  whole: Polygon,
  landscape: Landscape,
  random: Random,
): { parcels: Parcel[]; borders: Border[] } {
  const [wooded, settled] = [hills(350, random), hills(500, random)];
  const parcels: Parcel[] = [];
  const borders: Border[] = [];
  const halve = (polygon: Polygon, level: number) => {
    const middle = middleOf(polygon);
    const isVillage = settled(middle) < landscape.villages;
    const kind = isVillage ? "village" : wooded(middle) < landscape.woods ? "wood" : "field";
    const enough = (isVillage ? LOT_AREA : landscape.fieldArea) * between([0.8, 2], random);
    if (areaOf(polygon) < enough) {
      parcels.push({ polygon, kind });
      return;
    }
    const ends = crossLine(polygon, between([0.36, 0.64], random), between([-0.25, 0.25], random));
    const [from, to] = ends;
    borders.push({ ends, level, kind });
    halve(clipByLine(polygon, from, to), level + 1);
    halve(clipByLine(polygon, to, from), level + 1);
  };
  halve(whole, 0);
  return { parcels, borders };
}

/** A smooth function of place with values spread about evenly over 0 to 1; `size` in metres. */
function hills(size: number, random: Random): (point: Point) => number {
  const waves = Array.from({ length: 6 }, () => {
    const angle = 2 * Math.PI * random();
    const k = 2 * Math.PI / (size * between([0.6, 1.6], random));
    return [k * Math.cos(angle), k * Math.sin(angle), 2 * Math.PI * random()] as const;
  });
  return ([x, y]) => {
    const sum = waves.reduce((total, [kx, ky, at]) => total + Math.sin(kx * x + ky * y + at), 0);
    // Six sines are about normal with variance 3, whose distribution is about this logistic one.
    return 1 / (1 + Math.exp(-1.702 * sum / Math.sqrt(3)));
  };
}

/** Gives a parcel its soil; a field has the furrows of a tractor. */
function sow(ground: Ground, { polygon, kind }: Parcel, random: Random): void {
  const crop = CROPS[integer(0, CROPS.length - 1, random)]!;
  const [[ax, ay], [bx, by]] = crossLine(polygon, 0.5, 0);
  const furrows = {
    angle: Math.atan2(by - ay, bx - ax),
    spacing: between([2.5, 7], random),
    depth: kind === "field" && crop !== "meadow" ? between([5, 16], random) : 0,
  };
  const cover = kind === "field" ? crop : kind === "wood" ? "meadow" : "garden";
  fill(ground, polygon, { cover, tone: between([96, 160], random), furrows });
}

/** Roads along the longest borders, streets in villages, tracks and hedges between some fields. */
function pave(ground: Ground, { ends, level, kind }: Border, random: Random): void {
  const [from, to] = ends;
  const dice = random();
  if (level < ROAD_LEVEL) {
    fill(ground, strip(from, to, 9 - level), {
      cover: "asphalt",
      tone: between([110, 150], random),
    });
  } else if (kind === "village") {
    if (level < STREET_LEVEL && dice < 0.7) {
      fill(ground, strip(from, to, 4.5), { cover: "asphalt", tone: 130 });
    }
  } else if (dice < 0.3) {
    fill(ground, strip(from, to, 3), { cover: "track", tone: 128 });
  } else if (dice < 0.55) {
    plantHedge(ground, ends, random);
  }
}

/** A lake with a wavy shore and a meadow around it. */
function flood(ground: Ground, [x, y]: Point, random: Random): void {
  const radius = between([20, 70], random);
  const waves = [2, 3, 5].map((n) => [n, 0.5 / n * random(), 2 * Math.PI * random()] as const);
  const shore = (margin: number): Point[] =>
    Array.from({ length: 60 }, (_, i) => {
      const angle = 2 * Math.PI * i / 60;
      const wave = waves.reduce((sum, [n, size, at]) => sum + size * Math.sin(n * angle + at), 1);
      const reach = radius * wave + margin;
      return [x + reach * Math.cos(angle), y + reach * Math.sin(angle)];
    });
  fill(ground, shore(8), { cover: "meadow", tone: 110 });
  fill(ground, shore(0), { cover: "water", tone: 128 });
}

/** A winding strip from north to south. */
function river(width: number, height: number, random: Random): Point[] {
  const middle = width * between([0.3, 0.7], random);
  const half = between([6, 11], random);
  const waves = [700, 260].map((size) => [size * between([0.8, 1.2], random), random()] as const);
  const [west, east]: [Point[], Point[]] = [[], []];
  for (let y = -20; y <= height + 20; y += 10) {
    const x = waves.reduce(
      (sum, [size, at]) => sum + 0.12 * size * Math.sin(2 * Math.PI * (y / size + at)),
      middle,
    );
    west.push([x - half, y]);
    east.unshift([x + half, y]);
  }
  return [...west, ...east];
}
