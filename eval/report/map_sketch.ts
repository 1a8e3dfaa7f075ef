/**
 * A sketch of where a query is, where it should be found and where it was.
 *
 * @module
 */
import type { Location } from "../../data/pairs.ts";
import { type Markup, markup } from "./markup.ts";
import type { Verdict } from "./verdict.ts";

/** What a sketch shows; a place without a location, or in another unit, is left out. */
export interface Places {
  query: Location;
  /** Of the right references. */
  truth: readonly (Location | null)[];
  /** Best first. */
  answers: readonly { location: Location | null; verdict: Verdict }[];
  /** Of all references. */
  gallery: readonly (Location | null)[];
}

/** Of the ground in metres east and north, or of the sketch in px right and down. */
type Point = readonly [x: number, y: number];

const SIZE = 132; // px, at which the page shows it where there is room
const MARGIN = 18;
const EDGE = 3; // px, at which a dot is still whole
const MAX_DOTS = 300;
const LEAST_SPAN = 10; // m: one point has no extent
const EARTH_RADIUS = 6_371_008.8; // m, mean
const RADIANS = Math.PI / 180;

/** An SVG of the ground that holds the query, the truth and the first answer. */
export function mapSketch({ query, truth, answers, gallery }: Places): Markup {
  const right = truth.flatMap((location) => offsetFrom(query, location));
  const [first] = answers.slice(0, 1).flatMap(({ location }) => offsetFrom(query, location));
  const { toSketch, scale } = frameOf([[0, 0], ...right, ...(first ? [first] : [])]);
  const shown = (location: Location | null): Point[] =>
    offsetFrom(query, location).map(toSketch)
      .filter((point) => point.every((value) => value >= EDGE && value <= SIZE - EDGE));

  const dots = gallery.flatMap(shown);
  const stride = Math.ceil(dots.length / MAX_DOTS);
  const answerDots = answers.map(({ location, verdict }, rank) =>
    shown(location).map((point) => circle(point, rank === 0 ? 4 : 2.2, verdict))
  );
  const [x, y] = toSketch([0, 0]);
  const [x2, y2] = first ? toSketch(first) : [x, y];
  const bar = roundBelow((SIZE - 2 * MARGIN) / 2 / scale);
  return markup`<svg class="map" viewBox="0 0 ${SIZE} ${SIZE}" role="img" aria-label="Map sketch">
${dots.filter((_, i) => i % stride === 0).map((point) => circle(point, 1, "reference"))}
${right.map((offset) => circle(toSketch(offset), 5, "truth"))}
<path class="line ${answers[0]?.verdict ?? null}" d="M${px(x)} ${px(y)}L${px(x2)} ${px(y2)}"/>
${answerDots.toReversed()}
<path class="query" d="M${px(x)} ${px(y)}m-5 0h10m-5 -5v10"/>
<path class="bar" d="M6 ${SIZE - 10}v4h${px(bar * scale)}v-4"/>
<text x="${px(bar * scale + 10)}" y="${SIZE - 5}">${
    bar < 1000 ? `${bar} m` : `${bar / 1000} km`
  }</text>
${
    query.unit === "degrees"
      ? markup`<path class="bar" d="M${SIZE - 10} 19v-12m-4 4l4 -4l4 4"/>
<text x="${SIZE - 14}" y="30">N</text>`
      : null
  }</svg>`;
}

function circle([x, y]: Point, radius: number, kind: string): Markup {
  return markup`<circle class="${kind}" cx="${px(x)}" cy="${px(y)}" r="${radius}"/>`;
}

function px(value: number): string {
  return value.toFixed(1);
}

/** Metres from the query, or nothing; on a sphere that is flat around the query. */
function offsetFrom(query: Location, location: Location | null): Point[] {
  if (query.unit === "metres" && location?.unit === "metres") {
    return [[location.x - query.x, location.y - query.y]];
  }
  if (query.unit !== "degrees" || location?.unit !== "degrees") return [];
  const east = (location.lon - query.lon + 540) % 360 - 180; // the short way round
  const north = location.lat - query.lat;
  const perDegree = EARTH_RADIUS * RADIANS;
  return [[east * Math.cos(query.lat * RADIANS) * perDegree, north * perDegree]];
}

/** Centres the ground between some points in the sketch; the scale is px a metre. */
function frameOf(points: readonly Point[]): { toSketch: (offset: Point) => Point; scale: number } {
  const range = (values: number[]) => {
    const [low, high] = [Math.min(...values), Math.max(...values)];
    return { middle: (low + high) / 2, length: high - low };
  };
  const [east, north] = [range(points.map(([x]) => x)), range(points.map(([, y]) => y))];
  const scale = (SIZE - 2 * MARGIN) / Math.max(east.length, north.length, LEAST_SPAN);
  const toSketch = ([x, y]: Point): Point => [
    SIZE / 2 + (x - east.middle) * scale,
    SIZE / 2 - (y - north.middle) * scale,
  ];
  return { toSketch, scale };
}

/** The largest of 1, 2, 5, 10, 20, ... that is not above a length. */
function roundBelow(length: number): number {
  const power = 10 ** Math.floor(Math.log10(length));
  return power * (length >= 5 * power ? 5 : length >= 2 * power ? 2 : 1);
}
