/**
 * The ground of a synthetic world: cells with a cover, a height and a tone, and how to draw on them.
 *
 * @module
 */
import { edgesOf, type Point, type Polygon } from "./synthetic_polygon.ts";

/** What covers the ground of a cell: first what nothing grows on, last what stands on it. */
export const COVERS = [
  "water",
  "asphalt",
  "track",
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
  "garden",
  "broadleaf",
  "conifer",
  "red roof",
  "grey roof",
  "dark roof",
] as const;

/** One of {@linkcode COVERS}. */
export type Cover = typeof COVERS[number];

/** Uniform numbers in [0, 1), the same ones for the same seed. */
export type Random = () => number;

/** Side of a cell, metres. */
export const CELL = 0.5;

/** Cells, (rows, columns) row-major from the north-west corner. */
export interface Ground {
  columns: number;
  rows: number;
  /** Index into {@linkcode COVERS}. */
  cover: Uint8Array;
  /** Height of what stands there, decimetres. */
  relief: Uint8Array;
  /** Below 128 where the cover is darker than it is as a rule, above where it is lighter. */
  tone: Uint8Array;
}

/** Ground under water, all of it. @param width Metres. @param height Metres. */
export function createGround(width: number, height: number): Ground {
  const [columns, rows] = [Math.round(width / CELL), Math.round(height / CELL)];
  const layer = () => new Uint8Array(columns * rows);
  return { columns, rows, cover: layer(), relief: layer(), tone: layer() };
}

/** What covers a point; null outside of the ground. */
export function coverAt({ columns, rows, cover }: Ground, [x, y]: Point): Cover | null {
  const [column, row] = [Math.floor(x / CELL), Math.floor(y / CELL)];
  const isInside = column >= 0 && row >= 0 && column < columns && row < rows;
  return isInside ? COVERS[cover[row * columns + column]!]! : null;
}

/** How to fill an area. */
export interface Filling {
  cover: Cover;
  tone: number;
  /** Darker and lighter lines along `angle`, radians from east to south. */
  furrows?: { angle: number; spacing: number; depth: number };
}

/** Fills the cells whose middle is in the polygon, and clears what stands there. */
export function fill(ground: Ground, polygon: Polygon, filling: Filling): void {
  const { columns, rows, cover, relief, tone } = ground;
  const { angle, spacing, depth } = filling.furrows ?? { angle: 0, spacing: 1, depth: 0 };
  const code = COVERS.indexOf(filling.cover);
  const wave = 2 * Math.PI * CELL / spacing;
  const [perColumn, perRow] = [-wave * Math.sin(angle), wave * Math.cos(angle)];
  const ys = polygon.map(([, y]) => y);
  const [top, bottom] = cellsBetween(Math.min(...ys), Math.max(...ys), rows);
  for (let row = top; row < bottom; row++) {
    const y = (row + 0.5) * CELL;
    const crossings: number[] = [];
    for (const [[ax, ay], [bx, by]] of edgesOf(polygon)) {
      if (ay <= y !== by <= y) crossings.push(ax + (y - ay) / (by - ay) * (bx - ax));
    }
    crossings.sort((a, b) => a - b);
    for (let i = 1; i < crossings.length; i += 2) {
      const [left, right] = cellsBetween(crossings[i - 1]!, crossings[i]!, columns);
      for (let column = left; column < right; column++) {
        const cell = row * columns + column;
        cover[cell] = code;
        relief[cell] = 0;
        tone[cell] = filling.tone + depth * Math.sin(perColumn * column + perRow * row);
      }
    }
  }
}

/** A tree or a house. */
export interface Mound {
  middle: Point;
  /** Direction of its length, radians from east to south. */
  angle: number;
  /** Half its extent, metres. */
  length: number;
  width: number;
  /** Height at its edge and above that in the middle, decimetres. */
  eaves: number;
  rise: number;
  /** A dome, not a ridged roof. */
  round: boolean;
  cover: Cover;
  tone: number;
}

/** Sets a mound on the ground; where something higher stands, that remains. */
export function raise({ columns, rows, cover, relief, tone }: Ground, mound: Mound): void {
  const [x, y] = mound.middle;
  const code = COVERS.indexOf(mound.cover);
  const [cos, sin] = [Math.cos(mound.angle), Math.sin(mound.angle)];
  const reach = Math.hypot(mound.length, mound.width);
  const [left, right] = cellsBetween(x - reach, x + reach, columns);
  const [top, bottom] = cellsBetween(y - reach, y + reach, rows);
  for (let row = top; row < bottom; row++) {
    const dy = (row + 0.5) * CELL - y;
    for (let column = left; column < right; column++) {
      const dx = (column + 0.5) * CELL - x;
      const along = Math.abs(dx * cos + dy * sin) / mound.length;
      const across = Math.abs(dy * cos - dx * sin) / mound.width;
      const out = mound.round ? along * along + across * across : Math.max(along, across);
      if (out > 1) continue;
      const height = mound.eaves + mound.rise * (1 - (mound.round ? out : across));
      const cell = row * columns + column;
      if (relief[cell]! > height) continue;
      relief[cell] = height;
      cover[cell] = code;
      tone[cell] = mound.tone;
    }
  }
}

/** Mottles the tone everywhere: patches of 20 m, and grain of one cell. */
export function mottle({ columns, rows, tone }: Ground, random: Random): void {
  const step = 20 / CELL;
  const across = Math.ceil(columns / step) + 1;
  const nodes = new Float32Array(across * (Math.ceil(rows / step) + 1)).map(() => 40 * random());
  for (let row = 0; row < rows; row++) {
    const v = row % step / step;
    for (let column = 0; column < columns; column++) {
      const u = column % step / step;
      const node = Math.floor(row / step) * across + Math.floor(column / step);
      const upper = nodes[node]! + u * (nodes[node + 1]! - nodes[node]!);
      const lower = nodes[node + across]! + u * (nodes[node + across + 1]! - nodes[node + across]!);
      const patch = upper + v * (lower - upper) - 20;
      const cell = row * columns + column;
      tone[cell] = Math.min(255, Math.max(0, tone[cell]! + patch + 24 * random() - 12));
    }
  }
}

/** The first and past the last of the cells whose middles lie between two places. */
function cellsBetween(low: number, high: number, count: number): [number, number] {
  const clamp = (place: number) => Math.min(count, Math.max(0, Math.ceil(place / CELL - 0.5)));
  return [clamp(low), clamp(high)];
}
