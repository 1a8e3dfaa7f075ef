/**
 * Points of curves, and fewer of them.
 *
 * @module
 */

/** A point of a curve; y is null where the curve has a gap. */
export interface Point {
  x: number;
  y: number | null;
}

/** The most points that are drawn of a curve. */
export const MAX_POINTS = 1000;

/**
 * At most {@linkcode MAX_POINTS} points that keep every peak: the lowest and the highest of each of
 * half as many equal stretches.
 */
export function thinOut(points: readonly Point[]): readonly Point[] {
  if (points.length <= MAX_POINTS) return points;
  const stretches = MAX_POINTS / 2;
  return Array.from({ length: stretches }, (_, i) => {
    const from = Math.floor(i * points.length / stretches);
    const stretch = points.slice(from, Math.floor((i + 1) * points.length / stretches));
    const known = stretch.filter(({ y }) => y !== null);
    if (known.length === 0) return [stretch[0]!];
    const low = known.reduce((a, b) => b.y! < a.y! ? b : a);
    const high = known.reduce((a, b) => b.y! > a.y! ? b : a);
    return low === high ? [low] : low.x < high.x ? [low, high] : [high, low];
  }).flat();
}

/** Exponential mean that remembers some `window` points; it skips gaps. */
export function movingMean(points: readonly Point[], window: number): Point[] {
  let mean: number | null = null;
  return points.map(({ x, y }) => {
    if (y !== null) mean = mean === null ? y : mean + (y - mean) * 2 / (window + 1);
    return { x, y: mean };
  });
}
