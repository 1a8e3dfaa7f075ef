/**
 * Polygons on a plane: what fields, lakes and footprints are made of.
 *
 * @module
 */

/** x to the east and y to the south, metres. */
export type Point = readonly [x: number, y: number];

/** Corners in order, either way round. */
export type Polygon = readonly Point[];

/** Area in square metres, 0 for fewer than three corners. */
export function areaOf(polygon: Polygon): number {
  return Math.abs(signedArea(polygon));
}

/** Above 0 if the corners go clockwise as seen on a map. */
function signedArea(polygon: Polygon): number {
  let twice = 0;
  for (const [[x, y], [nextX, nextY]] of edgesOf(polygon)) twice += x * nextY - nextX * y;
  return twice / 2;
}

/** Each corner with the next one. */
export function edgesOf(polygon: Polygon): [Point, Point][] {
  return polygon.map((point, i) => [point, polygon[(i + 1) % polygon.length]!]);
}

/** Mean of the corners. */
export function middleOf(polygon: Polygon): Point {
  const sum = (axis: 0 | 1) => polygon.reduce((total, point) => total + point[axis], 0);
  return [sum(0) / polygon.length, sum(1) / polygon.length];
}

/** Above 0 on the right-hand side of the line from `a` to `b` as seen on a map, 0 on it. */
export function sideOf([x, y]: Point, a: Point, b: Point): number {
  return (b[0] - a[0]) * (y - a[1]) - (b[1] - a[1]) * (x - a[0]);
}

/** The part of a convex polygon on the right-hand side of the line from `a` to `b`, or nothing. */
export function clipByLine(polygon: Polygon, a: Point, b: Point): Point[] {
  const kept: Point[] = [];
  for (const [point, next] of edgesOf(polygon)) {
    const [here, there] = [sideOf(point, a, b), sideOf(next, a, b)];
    if (here >= 0) kept.push(point);
    if (here * there < 0) {
      const share = here / (here - there);
      kept.push([point[0] + share * (next[0] - point[0]), point[1] + share * (next[1] - point[1])]);
    }
  }
  return kept;
}

/** Intersection over union of two convex polygons that are not both empty, 0 to 1. */
export function intersectionOverUnion(a: Polygon, b: Polygon): number {
  const clip = signedArea(b) < 0 ? b.toReversed() : b;
  const common = edgesOf(clip).reduce<Polygon>((rest, [from, to]) => clipByLine(rest, from, to), a);
  const shared = areaOf(common);
  return shared / (areaOf(a) + areaOf(b) - shared);
}

/** The line across the longest edge of a convex polygon, `turn` radians off square, end to end. */
export function crossLine(polygon: Polygon, share: number, turn: number): [Point, Point] {
  const length = ([a, b]: [Point, Point]) => Math.hypot(b[0] - a[0], b[1] - a[1]);
  const [a, b] = edgesOf(polygon).reduce((x, y) => length(y) > length(x) ? y : x);
  const start: Point = [a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1])];
  const angle = Math.atan2(b[1] - a[1], b[0] - a[0]) + Math.PI / 2 + turn;
  const [x, y] = [Math.cos(angle), Math.sin(angle)];
  // Where it leaves the polygon again: the corner of either half that is furthest along it.
  const half = clipByLine(polygon, start, [start[0] + x, start[1] + y]);
  const onLine = half.map(([px, py]) =>
    [(px - start[0]) * x + (py - start[1]) * y, px, py] as const
  )
    .filter(([, px, py]) => Math.abs((py - start[1]) * x - (px - start[0]) * y) < 1e-6);
  const [, endX, endY] = onLine.reduce((p, q) => Math.abs(q[0]) > Math.abs(p[0]) ? q : p);
  return [start, [endX, endY]];
}

/** A rectangle about the line from `a` to `b`. */
export function strip(a: Point, b: Point, width: number): Point[] {
  const scale = width / 2 / Math.hypot(b[0] - a[0], b[1] - a[1]);
  const [x, y] = [(a[1] - b[1]) * scale, (b[0] - a[0]) * scale];
  return [[a[0] + x, a[1] + y], [b[0] + x, b[1] + y], [b[0] - x, b[1] - y], [a[0] - x, a[1] - y]];
}
