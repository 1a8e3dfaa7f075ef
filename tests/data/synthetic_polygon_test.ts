import assert from "node:assert/strict";
import { between, counterRandom } from "../../data/random.ts";
import {
  areaOf,
  clipByLine,
  crossLine,
  edgesOf,
  intersectionOverUnion,
  middleOf,
  type Point,
  type Polygon,
  sideOf,
  strip,
} from "../../data/synthetic_polygon.ts";
import { assertClose } from "../testing.ts";

const EXACT = { atol: 1e-12, rtol: 1e-12 }; // a few operations in f64

function box(left: number, top: number, width: number, height: number): Point[] {
  const [right, bottom] = [left + width, top + height];
  return [[left, top], [right, top], [right, bottom], [left, bottom]];
}

Deno.test("areaOf() is that of a rectangle, a triangle and a line, either way round", () => {
  const triangle: Polygon = [[1, 1], [5, 1], [1, 4]];
  assertClose([areaOf(box(2, 3, 4, 5)), areaOf(triangle)], [20, 6], EXACT);
  assertClose([areaOf(triangle.toReversed())], [6], EXACT);
  assert.equal(areaOf([[0, 0], [3, 4]]), 0);
  assert.equal(areaOf([]), 0);
});

Deno.test("sideOf() is above 0 to the right of the line, as seen on a map", () => {
  const [south, north]: Point[] = [[0, 9], [0, 0]]; // y goes south: this line goes north
  assert(sideOf([1, 5], south!, north!) > 0);
  assert(sideOf([-1, 5], south!, north!) < 0);
  assert.equal(sideOf([0, 20], south!, north!), 0);
});

Deno.test("clipByLine() keeps the right-hand part, all or nothing where the line misses", () => {
  const square = box(0, 0, 4, 4);
  const half = clipByLine(square, [1, 9], [1, -9]);
  assert.deepEqual(half, [[1, 0], [4, 0], [4, 4], [1, 4]]);
  assert.deepEqual(clipByLine(square, [-1, 9], [-1, -9]), square);
  assert.deepEqual(clipByLine(square, [5, 9], [5, -9]), []);
  // Through two corners, which belong to both parts.
  assert.deepEqual(clipByLine(square, [0, 0], [4, 4]), [[0, 0], [4, 4], [0, 4]]);
});

Deno.test("intersectionOverUnion() of squares is what one counts by hand", () => {
  const square = box(0, 0, 2, 2);
  const cases: [Polygon, number][] = [
    [square, 1],
    [square.toReversed(), 1],
    [box(1, 0, 2, 2), 2 / 6],
    [box(1, 1, 2, 2), 1 / 7],
    [box(0.5, 0.5, 1, 1), 1 / 4],
    [box(2, 0, 2, 2), 0],
    [box(9, 9, 1, 1), 0],
    // A square on its corner, half its area: it has the middles of the sides as corners.
    [[[1, 0], [2, 1], [1, 2], [0, 1]], 1 / 2],
  ];
  for (const [other, expected] of cases) {
    assertClose([intersectionOverUnion(square, other)], [expected], EXACT);
    assertClose([intersectionOverUnion(other, square)], [expected], EXACT);
  }
});

/** Points of a grid over [0, 10)^2 that lie in all the convex polygons. */
function countIn(polygons: readonly Polygon[], step: number): number {
  let count = 0;
  for (let y = step / 2; y < 10; y += step) {
    for (let x = step / 2; x < 10; x += step) {
      const isIn = polygons.every((polygon) =>
        edgesOf(polygon).every(([a, b]) => sideOf([x, y], a, b) >= 0)
      );
      if (isIn) count++;
    }
  }
  return count;
}

Deno.test("intersectionOverUnion() of turned quadrilaterals is that of a grid of points", () => {
  const random = counterRandom(1);
  const step = 0.05;
  const quadrilateral = (): Point[] => {
    const [x, y, turn] = [between([4, 6], random), between([4, 6], random), 6 * random()];
    return [0, 1, 2, 3].map((i) => {
      const angle = turn + (i + between([-0.2, 0.2], random)) * Math.PI / 2;
      return [x + 3 * Math.cos(angle), y + 3 * Math.sin(angle)]; // clockwise, y goes south
    });
  };
  for (let round = 0; round < 20; round++) {
    const [a, b] = [quadrilateral(), quadrilateral()];
    const shared = countIn([a, b], step);
    const union = countIn([a], step) + countIn([b], step) - shared;
    // A count errs by at most the cells that the outline crosses: each of at most 8 edges of
    // L <= 5.7 crosses up to 2 L / step + 1. In units of cells, of each of the two counts:
    const crossed = 8 * (2 * 5.7 / step + 1);
    const atol = 2 * crossed / union;
    // All the cells of an outline on one side of it is far from likely: a tenth is plenty.
    assertClose([intersectionOverUnion(a, b)], [shared / union], { atol: 0.1 * atol, rtol: 0 });
  }
});

Deno.test("middleOf() is the mean of the corners", () => {
  assert.deepEqual(middleOf(box(2, 4, 6, 2)), [5, 5]);
});

Deno.test("crossLine() goes from the longest edge to the far side, square to it or turned", () => {
  const field = box(0, 0, 10, 4);
  assertClose(crossLine(field, 0.3, 0).flat(), [3, 0, 3, 4], { atol: 1e-9, rtol: 0 });
  // Clockwise as seen on a map, so towards the west when it goes south.
  const turned = crossLine(field, 0.5, 0.1).flat();
  assertClose(turned, [5, 0, 5 - 4 * Math.tan(0.1), 4], { atol: 1e-9, rtol: 0 });
  const [from, to] = crossLine(field, 0.4, -0.2);
  const parts = [clipByLine(field, from, to), clipByLine(field, to, from)].map(areaOf);
  assertClose([parts[0]! + parts[1]!], [40], EXACT);
  assert(Math.min(...parts) > 10, `parts are ${parts}`);
});

Deno.test("strip() is a rectangle about a line", () => {
  const road = strip([0, 0], [3, 4], 2);
  assertClose([areaOf(road), ...middleOf(road)], [10, 1.5, 2], EXACT);
  assertClose(road.map((corner) => sideOf(corner, [0, 0], [3, 4]) / 5), [1, 1, -1, -1], EXACT);
});
