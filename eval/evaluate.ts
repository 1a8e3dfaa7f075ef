/**
 * Every metric of an evaluation, overall and by source, from embeddings.
 *
 * @module
 */
import { distanceMetres } from "../data/geo.ts";
import { type PairMode, picturePath } from "../data/pairs.ts";
import { takeRows } from "./embeddings.ts";
import {
  averagePrecision,
  averagePrecisionTrapezoid,
  disAt,
  isWithin,
  mean,
  onePercentFloor,
  onePercentRounded,
  recallAt,
  sdmAt,
} from "./metrics.ts";
import type { LocatedPicture, Protocol } from "./protocol.ts";
import type { Embeddings, QueryRanking, Ranker } from "./ranks.ts";
import { rankQueries } from "./ranks_cpu.ts";

/** How many references of a query are kept for distances and reports. */
export const TOP_K = 10;

/**
 * Numbers of one source, or of all. A value is null where nothing can be said: no query, or no
 * location.
 */
export interface Metrics {
  /** Which references count as right. */
  eval_mode: PairMode;
  /** Queries with a positive: the denominator of everything below. */
  queries: number;
  /** Queries without one. */
  skipped: number;
  /** References that a query is ranked against (with `sameMap`: those of all maps together). */
  gallery: number;
  /** Percent, 0 to 100; a reference that ties with the best positive ranks before it. */
  "R@1": number | null;
  "R@5": number | null;
  "R@10": number | null;
  /**
   * Percent at {@linkcode onePercentRounded}, the convention of University-1652 and GTA-UAV, of the
   * references that the query is ranked against.
   */
  "R@1%": number | null;
  /** The same at {@linkcode onePercentFloor}, the convention of Sample4Geo and FRGeo. */
  "R@1%_floor": number | null;
  /** Mean {@linkcode averagePrecision}, percent. */
  "AP": number | null;
  /** Mean {@linkcode averagePrecisionTrapezoid}, percent. */
  "AP_trapezoid": number | null;
  /** Queries whose best reference is a positive or semi-positive, percent. */
  "hit_rate": number | null;
  /** Mean {@linkcode sdmAt}, a fraction; a reference without a distance adds nothing. */
  "SDM@1": number | null;
  "SDM@3": number | null;
  "SDM@5": number | null;
  /** Mean {@linkcode disAt} in metres, of the queries whose first K references have a distance. */
  "Dis@1": number | null;
  "Dis@3": number | null;
  "Dis@5": number | null;
  /** Queries that Dis@5 leaves out. */
  unmeasured: number;
  /**
   * Queries with one of the first K references no further away than so many metres, percent of
   * those with a location: `R@1_within_25m`.
   */
  [within: `R@${number}_within_${number}m`]: number | null;
}

/** All that is known after an evaluation; arrays run along `protocol.queries`. */
export interface Evaluation {
  rankings: QueryRanking[];
  /**
   * Metres to each of a ranking's `top`, Infinity where none is known: no location, or one in
   * another unit. Null for a query that has no location, or none in the unit of any reference.
   */
  distances: (number[] | null)[];
  /** `overall` and each source in the order of the file, but numbers first, as in all objects. */
  metrics: Record<string, Metrics>;
}

/** What to evaluate. */
export interface EvaluateOptions {
  protocol: Protocol;
  /** Rows run along `protocol.queries` and `protocol.gallery`. */
  embeddings: Embeddings;
  /** Metres; for each, recall counts by distance instead of by pairs. Default none. */
  radii?: readonly number[];
  /** Default {@linkcode rankQueries}, on the CPU. */
  rank?: Ranker;
}

/**
 * Ranks all queries and computes every metric.
 *
 * @throws {TypeError} If the embeddings have other rows than the protocol.
 * @throws {RangeError} If an embedding holds NaN or Infinity; the message names the picture.
 */
export async function evaluate(options: EvaluateOptions): Promise<Evaluation> {
  const { protocol, embeddings, radii = [], rank = rankQueries } = options;
  const { queries, gallery } = protocol;
  checkRows(embeddings.query, embeddings.dim, { items: queries, side: "query" });
  checkRows(embeddings.gallery, embeddings.dim, { items: gallery, side: "gallery" });

  const rankings = await rankByMap(protocol, embeddings, rank);
  const galleries = gallerySizes(protocol);
  const units = new Set(gallery.map(({ location }) => location?.unit));
  const distances = rankings.map(({ top }, q) => {
    const { location } = queries[q]!;
    if (location === null || !units.has(location.unit)) return null;
    return top.map((j) => {
      const other = gallery[j]!.location;
      return other?.unit === location.unit ? distanceMetres(location, other) : Infinity;
    });
  });
  const results = queries.map(({ source }, q) => ({
    source,
    ranking: rankings[q]!,
    gallery: galleries[q]!,
    distances: distances[q]!,
  }));
  const { evalMode, skipped } = protocol;
  const all = [...skipped.values()].reduce((sum, count) => sum + count, 0);
  const metrics = Object.fromEntries(
    [["overall", all] as const, ...skipped].map(([name, count]) => {
      const mine = name === "overall" ? results : results.filter(({ source }) => source === name);
      return [name, summarise(mine, { evalMode, gallery: gallery.length, radii, skipped: count })];
    }),
  );
  return { rankings, distances, metrics };
}

/** Ranks each map by itself; the rankings hold indices of the whole gallery. */
async function rankByMap(
  { truths, maps }: Protocol,
  { query, gallery, dim }: Embeddings,
  rank: Ranker,
): Promise<QueryRanking[]> {
  if (maps === null) return await rank({ query, gallery, dim, truths, topK: TOP_K });
  const rankings: QueryRanking[] = [];
  for (const group of maps) {
    const local = new Map(group.gallery.map((j, i) => [j, i]));
    const ranked = await rank({
      query: takeRows(query, dim, group.queries),
      gallery: takeRows(gallery, dim, group.gallery),
      dim,
      truths: group.queries.map((q) => ({
        positives: truths[q]!.positives.map((j) => local.get(j)!),
        semiPositives: truths[q]!.semiPositives.map((j) => local.get(j)!),
      })),
      topK: TOP_K,
    });
    ranked.forEach((ranking, i) => {
      const top = ranking.top.map((j) => group.gallery[j]!);
      rankings[group.queries[i]!] = { ...ranking, top };
    });
  }
  return rankings;
}

/** How many references each query is ranked against. */
function gallerySizes({ queries, gallery, maps }: Protocol): number[] {
  const sizes = queries.map(() => gallery.length);
  for (const group of maps ?? []) {
    for (const q of group.queries) sizes[q] = group.gallery.length;
  }
  return sizes;
}

interface QueryResult {
  ranking: QueryRanking;
  /** References that it was ranked against. */
  gallery: number;
  distances: number[] | null;
}

function summarise(
  results: readonly QueryResult[],
  options: { evalMode: PairMode; gallery: number; skipped: number; radii: readonly number[] },
): Metrics {
  const { evalMode, gallery, skipped, radii } = options;
  // A protocol may keep queries without a positive, for their list of the best references.
  const judged = results.filter(({ ranking }) => ranking.positiveRanks.length > 0);
  const ranks = judged.map(({ ranking }) => ranking.positiveRanks);
  const first = ranks.map(([rank]) => rank!);
  const within1Percent = (cutOff: (gallery: number) => number) =>
    mean(judged.map(({ gallery }, q) => first[q]! < cutOff(gallery) ? 1 : 0));
  const located = judged.flatMap(({ distances }) => distances === null ? [] : [distances]);
  const sdm = (k: number) => mean(located.map((distances) => sdmAt(distances, k)));
  const measured = (k: number) =>
    located.map((distances) => disAt(distances, k)).filter(Number.isFinite);
  const within = radii.flatMap((radius) =>
    [1, 5, 10].map((k) => {
      const hits = located.map((distances) => isWithin(distances, { k, radius }) ? 1 : 0);
      return [`R@${k}_within_${radius}m`, percent(mean(hits))];
    })
  );
  return {
    eval_mode: evalMode,
    queries: judged.length,
    skipped: skipped + results.length - judged.length,
    gallery,
    "R@1": percent(recallAt(first, 1)),
    "R@5": percent(recallAt(first, 5)),
    "R@10": percent(recallAt(first, 10)),
    "R@1%": percent(within1Percent(onePercentRounded)),
    "R@1%_floor": percent(within1Percent(onePercentFloor)),
    AP: percent(mean(ranks.map(averagePrecision))),
    AP_trapezoid: percent(mean(ranks.map(averagePrecisionTrapezoid))),
    hit_rate: percent(recallAt(judged.map(({ ranking }) => ranking.hitRank!), 1)),
    "SDM@1": sdm(1),
    "SDM@3": sdm(3),
    "SDM@5": sdm(5),
    "Dis@1": mean(measured(1)),
    "Dis@3": mean(measured(3)),
    "Dis@5": mean(measured(5)),
    unmeasured: judged.length - measured(5).length,
    ...Object.fromEntries(within),
  };
}

function percent(fraction: number | null): number | null {
  return fraction === null ? null : 100 * fraction;
}

function checkRows(
  values: Float32Array,
  dim: number,
  { items, side }: { items: readonly LocatedPicture[]; side: string },
): void {
  if (values.length !== items.length * dim) {
    throw new TypeError(
      `Cannot evaluate: ${values.length} ${side} values of dimension ${dim}, ` +
        `wanted ${items.length} rows`,
    );
  }
  const bad = values.findIndex((value) => !Number.isFinite(value));
  if (bad < 0) return;
  const path = picturePath(items[Math.floor(bad / dim)]!.picture);
  throw new RangeError(
    `Cannot evaluate: the embedding of ${side} ${path} is ${values[bad]} at position ` +
      `${bad % dim}, wanted finite numbers`,
  );
}
