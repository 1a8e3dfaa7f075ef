/**
 * What stands on the ground of a synthetic world: woods, hedges, houses and gardens.
 *
 * @module
 */
import { between, integer } from "./random.ts";
import { type Cover, coverAt, type Ground, raise, type Random } from "./synthetic_ground.ts";
import {
  crossLine,
  edgesOf,
  middleOf,
  type Point,
  type Polygon,
  sideOf,
} from "./synthetic_polygon.ts";

const ROOFS: readonly Cover[] = ["red roof", "grey roof", "dark roof"];
const BARE: readonly Cover[] = ["water", "asphalt", "track", ...ROOFS];
const SPACING = 5.5; // of trees in a wood, metres: the crowns touch

/** Fills a parcel with trees, of which `conifers`, 0 to 1, are conifers. */
export function plantWood(
  ground: Ground,
  { polygon, conifers }: { polygon: Polygon; conifers: number },
  random: Random,
): void {
  const { left, top, right, bottom } = boundsOf(polygon);
  for (let y = top; y < bottom; y += SPACING) {
    for (let x = left; x < right; x += SPACING) {
      const middle: Point = [x + SPACING * random(), y + SPACING * random()];
      if (!contains(polygon, middle)) continue;
      const cover = random() < conifers ? "conifer" : "broadleaf";
      plant(ground, { middle, cover, radius: between([2.4, 4.6], random) }, random);
    }
  }
}

/** A row of trees along a line. */
export function plantHedge(ground: Ground, [from, to]: [Point, Point], random: Random): void {
  const length = Math.hypot(to[0] - from[0], to[1] - from[1]);
  for (let along = 0; along < length; along += between([2, 7], random)) {
    const share = along / length;
    const middle: Point = [
      from[0] + share * (to[0] - from[0]),
      from[1] + share * (to[1] - from[1]),
    ];
    plant(ground, { middle, cover: "broadleaf", radius: between([1.5, 3.2], random) }, random);
  }
}

/** A house along the longest edge of its lot, and a few trees in the garden. */
export function settle(ground: Ground, polygon: Polygon, random: Random): void {
  const middle = middleOf(polygon);
  const [[ax, ay], [bx, by]] = crossLine(polygon, 0.5, 0);
  if (coverAt(ground, middle) !== "water") {
    raise(ground, {
      middle,
      angle: Math.atan2(by - ay, bx - ax),
      length: between([5, 10], random),
      width: between([3.5, 5.5], random),
      eaves: between([30, 70], random),
      rise: between([5, 40], random),
      round: false,
      cover: ROOFS[integer(0, ROOFS.length - 1, random)]!,
      tone: between([100, 156], random),
    });
  }
  const { left, top, right, bottom } = boundsOf(polygon);
  for (let n = integer(0, 5, random); n > 0; n--) {
    const middle: Point = [between([left, right], random), between([top, bottom], random)];
    if (!contains(polygon, middle)) continue;
    plant(ground, { middle, cover: "broadleaf", radius: between([1.5, 3.5], random) }, random);
  }
}

/** A tree, where there is soil; it is at most as high as a picture takes things to be. */
function plant(
  ground: Ground,
  { middle, cover, radius }: { middle: Point; cover: Cover; radius: number },
  random: Random,
): void {
  const soil = coverAt(ground, middle);
  if (soil === null || BARE.includes(soil)) return;
  const height = 10 * radius * between([2, 3.2], random);
  raise(ground, {
    middle,
    angle: 0,
    length: radius,
    width: radius,
    eaves: 0.25 * height,
    rise: 0.75 * height,
    round: true,
    cover,
    tone: between([96, 160], random),
  });
}

/** Whether a convex polygon, clockwise as all parcels are, has the point in it. */
function contains(polygon: Polygon, point: Point): boolean {
  return edgesOf(polygon).every(([a, b]) => sideOf(point, a, b) >= 0);
}

function boundsOf(polygon: Polygon): Record<"left" | "top" | "right" | "bottom", number> {
  const xs = polygon.map(([x]) => x);
  const ys = polygon.map(([, y]) => y);
  return {
    left: Math.min(...xs),
    top: Math.min(...ys),
    right: Math.max(...xs),
    bottom: Math.max(...ys),
  };
}
