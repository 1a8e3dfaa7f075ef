/**
 * Retrieval metrics of single queries, as the published evaluations define them.
 *
 * Ranks are 0-based and ascending; distances are metres, best reference first, Infinity where none
 * is known. Recall is over many queries: see {@linkcode recallAt}.
 *
 * @module
 */

/**
 * Share of queries whose best positive is among the k best references.
 *
 * @param ranks Rank of the best positive of each query.
 * @param k Cut-off; 0 gives 0.
 * @returns A fraction, 0 to 1; null without queries.
 */
export function recallAt(ranks: readonly number[], k: number): number | null {
  return mean(ranks.map((rank) => rank < k ? 1 : 0));
}

/**
 * Cut-off of R@1% in University-1652 and GTA-UAV: their `cmc[round(0.01 * gallery)]` takes that
 * number as a 0-based index, so it is one more reference than 1%.
 *
 * Python's `round` is meant: halves go to the even number.
 *
 * @see `evaluate_gpu.py` of University1652-Baseline, `evaluate/gta.py` of GTA-UAV
 */
export function onePercentRounded(gallery: number): number {
  const x = 0.01 * gallery;
  const low = Math.floor(x);
  const up = x - low > 0.5 || (x - low === 0.5 && low % 2 === 1);
  return low + (up ? 1 : 0) + 1;
}

/**
 * Cut-off of R@1% in Sample4Geo and FRGeo: `floor(gallery / 100)`. Below 100 references it is 0,
 * and so is the recall.
 */
export function onePercentFloor(gallery: number): number {
  return Math.floor(gallery / 100);
}

/**
 * Average precision, not interpolated: the mean over positives of the precision at their rank.
 *
 * @param ranks Ranks of all positives of a query, at least one.
 * @returns A fraction, above 0.
 * @see scikit-learn's `average_precision_score`, which GTA-UAV's evaluation calls
 */
export function averagePrecision(ranks: readonly number[]): number {
  return ranks.reduce((sum, rank, i) => sum + (i + 1) / (rank + 1), 0) / ranks.length;
}

/**
 * Average precision by trapezoids: at each positive the mean of the precision with it and just
 * before it. A single positive at rank r > 0 gives half of 1 / (r + 1).
 *
 * @param ranks Ranks of all positives of a query, at least one.
 * @returns A fraction, above 0.
 * @see `compute_mAP` in `evaluate_gpu.py` of University1652-Baseline
 */
export function averagePrecisionTrapezoid(ranks: readonly number[]): number {
  const area = ranks.reduce((sum, rank, i) => {
    const before = rank === 0 ? 1 : i / rank;
    return sum + (before + (i + 1) / (rank + 1)) / 2;
  }, 0);
  return area / ranks.length;
}

/** Decay of {@linkcode sdmAt}, per metre. */
const SDM_SCALE = 0.001;

/**
 * Spatial distance metric: exp(-0.001 d) of the first k references, weighted k, k - 1, ..., 1.
 *
 * With fewer than k references the sums stop there.
 *
 * @returns A fraction, 0 to 1, as it is published.
 * @see `sdm` in `evaluate/gta.py` of GTA-UAV
 */
export function sdmAt(distances: readonly number[], k: number): number {
  let sum = 0;
  let weights = 0;
  for (let i = 0; i < Math.min(k, distances.length); i++) {
    sum += (k - i) * Math.exp(-SDM_SCALE * distances[i]!);
    weights += k - i;
  }
  return sum / weights;
}

/**
 * Mean distance of the first k references (of all, where there are fewer).
 *
 * @returns Metres; Infinity if one of the distances is not known.
 * @see `get_dis` in `evaluate/gta.py` of GTA-UAV
 */
export function disAt(distances: readonly number[], k: number): number {
  return mean(distances.slice(0, k)) ?? Infinity;
}

/**
 * Whether one of the first k references lies within a radius.
 *
 * @param radius Metres; the border counts.
 */
export function isWithin(
  distances: readonly number[],
  { k, radius }: { k: number; radius: number },
): boolean {
  return distances.slice(0, k).some((distance) => distance <= radius);
}

/** Arithmetic mean; null of nothing. */
export function mean(values: readonly number[]): number | null {
  return values.length === 0 ? null : values.reduce((sum, x) => sum + x, 0) / values.length;
}
