/**
 * Exact ranks of the right references of each query, without the score matrix.
 *
 * Ties rank against us: a reference ranks before a right one unless it scores below it. So a model
 * that gives every picture the same embedding has recall 0, not 1.
 *
 * Where the scores come from is open: `ranks_cpu.ts` computes them on the CPU; a GPU kernel that
 * counts and keeps the best fills the same {@linkcode QueryRanking} through {@linkcode rankingOf}.
 * Both are a {@linkcode Ranker}.
 *
 * @module
 */

/** Embeddings of queries and references; a score is the dot product of two rows. */
export interface Embeddings {
  /** `(queries, dim)`, row-major, rows of unit length (means of video frames may be shorter). */
  query: Float32Array;
  /** `(references, dim)`, likewise. */
  gallery: Float32Array;
  /** Length of a row. */
  dim: number;
}

/** The right references of one query, by index in the gallery, each once. */
export interface Truth {
  /** Count for recall and AP. */
  positives: readonly number[];
  /** Only the hit rate counts them; none of them is in `positives`. */
  semiPositives: readonly number[];
}

/** What a {@linkcode Ranker} ranks. */
export interface RankJob extends Embeddings {
  /** One a query. */
  truths: readonly Truth[];
  /** How many of the best references to keep, at least 1. */
  topK: number;
}

/** Where the right references of one query came out. */
export interface QueryRanking {
  /** 0-based rank of each positive, ascending; empty if the query has none. */
  positiveRanks: number[];
  /**
   * 0-based rank of the best of positives and semi-positives, counting only the other references;
   * null if the query has neither.
   */
  hitRank: number | null;
  /**
   * Indices of the best `min(topK, references)` references, best first, right ones last among equal
   * scores. If references tie for the last places, it is open which of them are listed.
   */
  top: number[];
  /** Their scores. */
  topScores: number[];
}

/** Ranks a whole job: one ranking a query, in order. */
export type Ranker = (job: RankJob) => QueryRanking[] | Promise<QueryRanking[]>;

/** What a producer of scores knows of one query. */
export interface QueryCounts {
  truth: Truth;
  /**
   * For each of `[...truth.positives, ...truth.semiPositives]`: how many *other* references do not
   * score below it.
   */
  counts: ArrayLike<number>;
  /** Indices of the best references, in any order. */
  top: readonly number[];
  /** Their scores. */
  topScores: readonly number[];
}

/** The ranking of a query from counts and a list of its best references. */
export function rankingOf({ truth, counts, top, topScores }: QueryCounts): QueryRanking {
  const all = Array.from(counts);
  const merit = (j: number) =>
    truth.positives.includes(j) ? 2 : truth.semiPositives.includes(j) ? 1 : 0;
  const order = top.map((_, i) => i)
    .sort((a, b) => topScores[b]! - topScores[a]! || merit(top[a]!) - merit(top[b]!));
  return {
    positiveRanks: ranksOf(all.slice(0, truth.positives.length)),
    hitRank: ranksOf(all)[0] ?? null,
    top: order.map((i) => top[i]!),
    topScores: order.map((i) => topScores[i]!),
  };
}

/**
 * Ranks of a set of references from how many others do not score below each.
 *
 * Equal counts mean equal scores: then each counted all others of its run, though these follow each
 * other in the ranking.
 */
function ranksOf(counts: number[]): number[] {
  const sorted = counts.toSorted((a, b) => a - b);
  return sorted.map((count, i) => count - (sorted.lastIndexOf(count) - i));
}
