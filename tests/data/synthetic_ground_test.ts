import assert from "node:assert/strict";
import { counterRandom } from "../../data/random.ts";
import {
  CELL,
  type Cover,
  coverAt,
  COVERS,
  createGround,
  fill,
  type Ground,
  mottle,
  type Mound,
  raise,
} from "../../data/synthetic_ground.ts";
import { areaOf, type Polygon } from "../../data/synthetic_polygon.ts";

const count = ({ cover }: Ground, name: Cover) =>
  cover.reduce((sum, code) => sum + (COVERS[code] === name ? 1 : 0), 0);

const PATCH: Polygon = [[1, 1], [4, 1], [4, 3], [1, 3]];
const TREE: Mound = {
  middle: [5, 5],
  angle: 0,
  length: 3,
  width: 3,
  eaves: 20,
  rise: 60,
  round: true,
  cover: "conifer",
  tone: 100,
};

Deno.test("createGround() is all water, with a cell every half metre", () => {
  const ground = createGround(6, 4);
  assert.deepEqual([ground.columns, ground.rows], [12, 8]);
  assert.equal(count(ground, "water"), 96);
});

Deno.test("coverAt() finds the cell of a point, and none outside of the ground", () => {
  const ground = createGround(6, 4);
  fill(ground, PATCH, { cover: "wheat", tone: 128 });
  for (const point of [[1, 1], [3.9, 2.9]] as const) assert.equal(coverAt(ground, point), "wheat");
  for (const point of [[0.9, 1], [4.1, 2], [2, 3.1]] as const) {
    assert.equal(coverAt(ground, point), "water");
  }
  for (const point of [[-0.1, 1], [6, 1], [1, -0.1], [1, 4]] as const) {
    assert.equal(coverAt(ground, point), null);
  }
});

Deno.test("fill() takes the cells whose middle is inside, at any shape and beyond the border", () => {
  const shapes: [string, Polygon, number][] = [
    ["a rectangle", PATCH, 6],
    ["the other way round", PATCH.toReversed(), 6],
    ["an L", [[1, 1], [4, 1], [4, 2], [2, 2], [2, 3], [1, 3]], 4],
    ["a U", [[1, 1], [2, 1], [2, 2], [3, 2], [3, 1], [4, 1], [4, 3], [1, 3]], 5],
    ["one between cells", [[1.1, 1.1], [2.9, 1.1], [2.9, 2.2], [1.1, 2.2]], 4 * 2 * CELL ** 2],
    ["one that is half outside", [[-3, 1], [3, 1], [3, 9], [-3, 9]], 9],
    ["one outside", [[20, 20], [30, 20], [30, 30]], 0],
  ];
  for (const [name, polygon, area] of shapes) {
    const ground = createGround(6, 4);
    fill(ground, polygon, { cover: "wheat", tone: 90 });
    assert.equal(count(ground, "wheat"), area / CELL ** 2, name);
    const tones = ground.tone.filter((_, i) => COVERS[ground.cover[i]!] === "wheat");
    assert(tones.every((tone) => tone === 90), name);
  }
});

Deno.test("fill() of a triangle covers its area", () => {
  const ground = createGround(100, 100);
  const triangle: Polygon = [[7, 3], [91, 40], [30, 95]];
  fill(ground, triangle, { cover: "wheat", tone: 128 });
  // In each row both ends are rounded to a cell, each by at most half of one.
  const rows = (95 - 3) / CELL;
  const error = count(ground, "wheat") - areaOf(triangle) / CELL ** 2;
  assert(Math.abs(error) <= rows, `off by ${error} cells`);
});

Deno.test("fill() clears what stands there, and nothing beside it", () => {
  const ground = createGround(10, 10);
  raise(ground, TREE);
  fill(ground, [[0, 0], [5, 0], [5, 10], [0, 10]], { cover: "asphalt", tone: 128 });
  const side = (isWest: boolean) =>
    ground.relief.some((height, i) => height > 0 && (i % ground.columns < 10) === isWest);
  assert.deepEqual([side(true), side(false)], [false, true]);
});

Deno.test("fill() draws furrows along their angle with their spacing", () => {
  const ground = createGround(20, 20);
  const whole: Polygon = [[0, 0], [20, 0], [20, 20], [0, 20]];
  const furrows = { angle: 0, spacing: 4, depth: 10 }; // east, every 8 cells
  fill(ground, whole, { cover: "wheat", tone: 128, furrows });
  const toneOf = (column: number, row: number) => ground.tone[row * ground.columns + column]!;
  for (let row = 0; row < 32; row++) {
    assert.equal(toneOf(0, row), toneOf(31, row)); // along
    const wave = 128 + 10 * Math.sin(2 * Math.PI * row / 8);
    assert(Math.abs(toneOf(5, row) - wave) <= 1, `row ${row}`); // a tone is rounded down
  }
  fill(ground, whole, { cover: "wheat", tone: 128, furrows: { ...furrows, angle: Math.PI / 2 } });
  assert.equal(toneOf(2, 0), toneOf(2, 31));
  assert.equal(toneOf(6, 5), 138);
});

Deno.test("raise() makes a dome, highest in its middle and round", () => {
  const ground = createGround(10, 10);
  raise(ground, TREE);
  const heightAt = (x: number, y: number) =>
    ground.relief[Math.floor(y / CELL) * ground.columns + Math.floor(x / CELL)]!;
  // Middles of cells are a quarter of a metre from the middle of the tree along each axis.
  assert.equal(heightAt(5, 5), Math.floor(20 + 60 * (1 - 2 * 0.25 ** 2 / 9)));
  assert.equal(heightAt(7.5, 5), Math.floor(20 + 60 * (1 - (2.75 ** 2 + 0.25 ** 2) / 9)));
  assert.equal(heightAt(7.5, 7.5), 0); // in its square, out of its circle
  assert.equal(coverAt(ground, [5, 5]), "conifer");
  assert.equal(coverAt(ground, [7.5, 7.5]), "water");
});

Deno.test("raise() makes a house with a ridge along its length, turned by its angle", () => {
  const house = { ...TREE, length: 4, width: 2, round: false, cover: "red roof" as const };
  for (const [angle, along] of [[0, [8.25, 5.25]], [Math.PI / 2, [5.25, 8.25]]] as const) {
    const ground = createGround(10, 10);
    raise(ground, { ...house, angle });
    const [x, y] = along;
    const cellOf = (x: number, y: number) => Math.floor(y / CELL) * ground.columns + 2 * x - 0.5;
    assert.equal(coverAt(ground, along), "red roof");
    assert.equal(coverAt(ground, [y, x]), "water"); // across it is narrower
    assert.equal(ground.relief[cellOf(x, y)], ground.relief[cellOf(5.25, 5.25)]); // the ridge
    assert.equal(count(ground, "red roof"), 8 * 4 / CELL ** 2);
  }
});

Deno.test("raise() leaves what is higher, and goes over the border of the ground", () => {
  const ground = createGround(10, 10);
  raise(ground, TREE);
  const before = ground.relief.slice();
  raise(ground, { ...TREE, eaves: 5, rise: 5, cover: "broadleaf" });
  assert.deepEqual(ground.relief, before);
  assert.equal(count(ground, "broadleaf"), 0);
  raise(ground, { ...TREE, rise: 90, cover: "broadleaf" });
  assert.equal(count(ground, "conifer"), 0);
  raise(ground, { ...TREE, middle: [0, 10], cover: "conifer" });
  // A quarter of the circle, whose outline crosses fewer than 15 cells.
  assert(Math.abs(count(ground, "conifer") - Math.PI * 9 / 4 / CELL ** 2) < 15);
});

Deno.test("mottle() changes tones by up to 32 either way, and about none on average", () => {
  const ground = createGround(400, 400);
  ground.tone.fill(128);
  mottle(ground, counterRandom(1));
  const { tone } = ground;
  const [low, high] = [
    tone.reduce((a, b) => Math.min(a, b)),
    tone.reduce((a, b) => Math.max(a, b)),
  ];
  assert(low >= 96 && low < 104 && high <= 160 && high > 150, `${low} to ${high}`);
  const mean = tone.reduce((sum, value) => sum + value, 0) / tone.length;
  // 441 nodes of deviation 40 / sqrt(12) = 11.5: the mean has 0.55, a tone rounds down by 0.5.
  assert(Math.abs(mean - 127.5) < 5 * 0.55, `mean ${mean}`);
  for (const edge of [0, 255]) {
    ground.tone.fill(edge);
    mottle(ground, counterRandom(1)); // without a limit a tone would wrap around
    assert(ground.tone.every((value) => Math.abs(value - edge) <= 32), `at ${edge}`);
  }
});
