import assert from "node:assert/strict";
import type { Pixels } from "../../data/pixels.ts";
import {
  type Cover,
  createGround,
  fill,
  type Ground,
  type Mound,
  raise,
} from "../../data/synthetic_ground.ts";
import { areaOf, middleOf, type Point, type Polygon } from "../../data/synthetic_polygon.ts";
import {
  type Camera,
  footprintOf,
  type Light,
  mapCamera,
  takePicture,
} from "../../data/synthetic_views.ts";
import { assertClose } from "../testing.ts";

/** Nothing changes a colour: the ground is flat, its tone even, the air clear. */
const PLAIN: Light = {
  season: "spring",
  azimuth: Math.PI, // in the south
  elevation: 0.6,
  exposure: 1,
  warmth: 0,
  haze: 0,
};
const NORTHWARD: Camera = { x: 50, y: 50, altitude: 60, heading: 0, tilt: 0, spread: 0.8 };
const SIZE = { width: 64, height: 48 };
const WATER = [58, 80, 84];
const RAPE = [218, 206, 62];
const CHALK = [204, 196, 182];

/** 100 m of a cover at an even tone, with another one in a polygon. */
function plain(cover: Cover, other?: Cover, polygon?: Polygon): Ground {
  const ground = createGround(100, 100);
  fill(ground, [[0, 0], [100, 0], [100, 100], [0, 100]], { cover, tone: 128 });
  if (other && polygon) fill(ground, polygon, { cover: other, tone: 128 });
  return ground;
}

function colourAt(pixels: Pixels, column: number, row: number): number[] {
  return [...pixels.subarray(3 * (row * SIZE.width + column)).subarray(0, 3)];
}

/**
 * Where on the ground the rays through the corners go, by a pinhole camera: its axis, the right and
 * the upper side of its picture as vectors (east, south, down).
 */
function cornersOf({ x, y, altitude, heading, tilt, spread }: Camera): Point[] {
  const [sin, cos] = [Math.sin(heading), Math.cos(heading)];
  const axis = [sin * Math.sin(tilt), -cos * Math.sin(tilt), Math.cos(tilt)];
  const upper = [sin * Math.cos(tilt), -cos * Math.cos(tilt), -Math.sin(tilt)];
  const right = [cos, sin, 0];
  const eye = [x - axis[0]! * altitude / axis[2]!, y - axis[1]! * altitude / axis[2]!];
  const half = [spread / 2, spread / 2 * SIZE.height / SIZE.width];
  return [[-1, 1], [1, 1], [1, -1], [-1, -1]].map(([a, b]) => {
    const [east, south, down] = [0, 1, 2].map((i) =>
      axis[i]! + a! * half[0]! * right[i]! + b! * half[1]! * upper[i]!
    );
    return [eye[0]! + east! * altitude / down!, eye[1]! + south! * altitude / down!];
  });
}

Deno.test("footprintOf() is where the rays of a pinhole camera's corners meet the ground", () => {
  for (const heading of [0, 1, 2.5, 4, 6]) {
    for (const tilt of [0, 0.1, 0.4]) {
      const camera = { ...NORTHWARD, heading, tilt };
      const corners = footprintOf(camera, SIZE).flat();
      assertClose(corners, cornersOf(camera).flat(), { atol: 1e-9, rtol: 0 });
    }
  }
});

Deno.test("footprintOf() turns with the heading and grows with the altitude", () => {
  const corners = (camera: Partial<Camera>) => footprintOf({ ...NORTHWARD, ...camera }, SIZE);
  const close = { atol: 1e-9, rtol: 0 };
  assertClose(corners({}).flat(), [26, 32, 74, 32, 74, 68, 26, 68], close);
  // To the east: what was at the top is at the right.
  const eastward = corners({ heading: Math.PI / 2 });
  assertClose(eastward.flat(), [68, 26, 68, 74, 32, 74, 32, 26], close);
  assertClose([areaOf(corners({ altitude: 120 }))], [4 * 48 * 36], close);
});

Deno.test("footprintOf() of a tilted camera reaches further ahead, about the same place", () => {
  const [topLeft, topRight, , bottomLeft] = footprintOf({ ...NORTHWARD, tilt: 0.2 }, SIZE);
  const [ahead, behind] = [50 - topLeft![1], bottomLeft![1] - 50];
  assert(ahead > behind && behind > 0, `${ahead} m ahead, ${behind} m behind`);
  assert(topRight![0] - topLeft![0] > 48); // across the middle at that distance: 48 / cos(0.2)
});

Deno.test("takePicture() shows its footprint and no more", () => {
  for (const [heading, tilt] of [[0, 0], [0.7, 0.15], [4, 0.15]] as const) {
    const camera = { ...NORTHWARD, heading, tilt };
    const ground = plain("water", "rapeseed", footprintOf(camera, SIZE));
    const pixels = takePicture(ground, camera, PLAIN, SIZE);
    const wider = takePicture(ground, { ...camera, spread: 0.9 }, PLAIN, SIZE);
    for (const [column, row] of [[0, 0], [63, 0], [63, 47], [0, 47]] as const) {
      const [inwardX, inwardY] = [column === 0 ? 1 : -1, row === 0 ? 1 : -1];
      // A pixel is 0.75 m, and cells on the outline may be of either: one further in is safe.
      assert.deepEqual(colourAt(pixels, column + inwardX, row + inwardY), RAPE);
      // 0.9 / 0.8 as wide: the outline is 3.6 and 2.7 pixels from the border.
      assert.deepEqual(colourAt(wider, column + inwardX, row + inwardY), WATER);
    }
  }
});

Deno.test("takePicture() has ahead at its top, and right on its right", () => {
  const north: Polygon = [[45, 36], [55, 36], [55, 42], [45, 42]];
  const ground = plain("water", "rapeseed", north);
  const places = [[0, [32, 9]], [Math.PI / 2, [17, 24]], [Math.PI, [32, 38]]] as const;
  for (const [heading, [column, row]] of places) { // its middle is 11 m off, 14.7 pixels
    const pixels = takePicture(ground, { ...NORTHWARD, heading }, PLAIN, SIZE);
    assert.deepEqual(colourAt(pixels, column, row), RAPE, `heading ${heading}`);
    assert.deepEqual(colourAt(pixels, 32, 24), WATER);
  }
});

const TOWER: Mound = {
  middle: [65, 50],
  angle: 0,
  length: 3,
  width: 3,
  eaves: 134,
  rise: 0,
  round: false,
  cover: "chalk",
  tone: 128,
};

/** Columns of the middle row with the colour. */
function columnsOf(pixels: Pixels, colour: number[]): number[] {
  return Array.from({ length: SIZE.width }, (_, column) => column)
    .filter((column) => `${colourAt(pixels, column, 24)}` === `${colour}`);
}

Deno.test("takePicture() shows what stands off its middle leaning outwards, but not on a map", () => {
  const ground = plain("water");
  raise(ground, TOWER);
  const noon = { ...PLAIN, elevation: 1.5 };
  const photo = columnsOf(takePicture(ground, NORTHWARD, noon, SIZE), CHALK);
  const map = columnsOf(takePicture(ground, mapCamera(50, 50, 48), noon, SIZE), CHALK);
  // 62 to 68 m, 0.75 m a pixel: 48 to 56. Half a slope at its edges is brighter or darker.
  assert(map[0]! >= 48 && map[0]! <= 49 && map.at(-1)! >= 54 && map.at(-1)! <= 55, `${map}`);
  // Its top, seen at 13.3 m of height, seems 60 / 46.7 times as far from the middle: 23.1 for 18 m.
  assert(photo.at(-1)! > 60 && photo.at(-1)! < 63, `${photo}`);
});

Deno.test("mapCamera() covers exactly its tile", () => {
  const tile: Polygon = [[20, 30], [60, 30], [60, 70], [20, 70]];
  const square = { width: 40, height: 40 };
  const camera = mapCamera(40, 50, 40);
  // Metres times 1e7 and back in f64: 1e7 * 2^-52 times a few.
  assertClose(footprintOf(camera, square).flat(), tile.flat(), { atol: 1e-7, rtol: 0 });
  assertClose(middleOf(footprintOf(camera, square)), [40, 50], { atol: 1e-7, rtol: 0 });
  const all = takePicture(plain("water", "rapeseed", tile), camera, PLAIN, square);
  assert(all.every((value, i) => value === RAPE[i % 3]));
  const inner: Polygon = [[21, 31], [59, 31], [59, 69], [21, 69]];
  const pixels = takePicture(plain("water", "rapeseed", inner), camera, PLAIN, square);
  for (let i = 0; i < 40 * 40; i++) {
    const [x, y] = [i % 40, Math.floor(i / 40)];
    const isBorder = x === 0 || y === 0 || x === 39 || y === 39;
    assert.equal(pixels[3 * i], (isBorder ? WATER : RAPE)[0], `at ${x}, ${y}`);
  }
});

Deno.test("takePicture() has shadows away from the sun, longer when it is low", () => {
  const ground = plain("rapeseed");
  raise(ground, { ...TOWER, middle: [50, 50] });
  /** Dark pixels above and below the middle. */
  const shadows = (light: Partial<Light>) => {
    const pixels = takePicture(ground, mapCamera(50, 50, 60), { ...PLAIN, ...light }, SIZE);
    const dark = [0, 0];
    for (let i = 0; i < SIZE.width * SIZE.height; i++) {
      // Rapeseed in full shadow has 0.45 of its red.
      if (Math.abs(pixels[3 * i]! - 0.45 * RAPE[0]!) < 1) dark[i < pixels.length / 6 ? 0 : 1]!++;
    }
    return dark;
  };
  const [north, south] = shadows({});
  assert(north! > 30 && south === 0, `${north} north, ${south} south`);
  assert.deepEqual(shadows({ azimuth: 0 })[0], 0);
  assert(shadows({ azimuth: 0 })[1]! > 30);
  assert(shadows({ elevation: 1.3 })[0]! < north! / 2);
});

Deno.test("takePicture() has a roof lighter on the side of the sun", () => {
  const ground = plain("water");
  const roof = { length: 8, width: 8, eaves: 10, rise: 60, round: false } as const;
  raise(ground, { ...TOWER, ...roof, middle: [50, 50] }); // its ridge goes from west to east
  const pixels = takePicture(ground, mapCamera(50, 50, 48), { ...PLAIN, elevation: 1.4 }, SIZE);
  const [north, south] = [20, 28].map((row) => colourAt(pixels, 32, row)[0]!);
  assert(south! > CHALK[0]! && north! < CHALK[0]!, `${north} north, ${south} south`);
});

Deno.test("takePicture() changes colours with season, exposure, warmth, haze and tone", () => {
  const colour = (light: Partial<Light>, cover: Cover = "water") =>
    colourAt(takePicture(plain(cover), NORTHWARD, { ...PLAIN, ...light }, SIZE), 9, 9);
  assert.deepEqual(colour({}), WATER);
  assert.deepEqual(colour({}, "wheat"), [140, 166, 74]);
  assert.deepEqual(colour({ season: "summer" }, "wheat"), [212, 188, 116]);
  assert.deepEqual(colour({ season: "autumn" }, "wheat"), [192, 166, 112]);
  assert.deepEqual(colour({ exposure: 0.5 }), [29, 40, 42]);
  assert.deepEqual(colour({ exposure: 9 }), [255, 255, 255]);
  assert.deepEqual(colour({ warmth: 0.5 }), [87, 80, 42]);
  assert.deepEqual(colour({ haze: 1 }), [196, 204, 214]);
  assert.deepEqual(colour({ haze: 0.5 }), [127, 142, 149]); // the mean, bright haze or not
  const ground = plain("water");
  ground.tone.fill(228);
  assert.deepEqual(colourAt(takePicture(ground, NORTHWARD, PLAIN, SIZE), 9, 9), [84, 116, 122]);
});

Deno.test("takePicture() beyond the ground goes on with its border", () => {
  const ground = plain("water", "rapeseed", [[0, 0], [100, 0], [100, 3], [0, 3]]);
  const pixels = takePicture(ground, { ...NORTHWARD, y: 0 }, PLAIN, SIZE);
  assert.deepEqual(colourAt(pixels, 32, 0), RAPE);
  assert.deepEqual(colourAt(pixels, 32, 47), WATER);
});
