import type { Tensor } from "./gpu.ts";
import { grid1d } from "./grid.ts";
import type { Plan } from "./plan.ts";
import { requireTensors } from "./shape.ts";
import countsCode from "./truth_counts.wgsl" with { type: "text" };
import scoresCode from "./truth_scores.wgsl" with { type: "text" };
import topKCode from "./top_k.wgsl" with { type: "text" };

/** Scores of all queries against a part of the gallery; chunks come in ascending order. */
export interface ScoreChunk {
  /** `(references, queries)` f32. */
  scores: Tensor;
  /** `(2)` u32, index of the first reference and how many rows are references. */
  chunk: Tensor;
}

/** Tensors of {@linkcode topK}. */
export interface TopKInput extends ScoreChunk {
  /** `(queries, k)` f32, best first; all {@linkcode NO_SCORE} before the first chunk. */
  topScores: Tensor;
  /** `(queries, k)` u32, indices of those references. */
  topIndices: Tensor;
  /**
   * `(queries)` u32, 1 + the least index of a reference whose score is NaN or infinite; 0 before
   * the first chunk, and if there is none.
   */
  bad: Tensor;
}

/** Tensors of {@linkcode truthScores} and {@linkcode truthCounts}. */
export interface TruthInput extends ScoreChunk {
  /** `(pairs, 2)` u32, query and reference. */
  pairs: Tensor;
  /** `(pairs)` f32, score of each pair. */
  pairScores: Tensor;
}

/** An empty place in a list of best scores: the lowest f32. */
export const NO_SCORE: number = -(2 - 2 ** -23) * 2 ** 127;

/**
 * Records the update of each query's best references by one chunk of scores.
 *
 * Of equal scores the reference with the lower index comes first.
 *
 * @throws {RangeError} If shapes do not fit.
 * @throws {TypeError} If element types do not fit.
 */
export function topK(plan: Plan, input: TopKInput): void {
  const { scores, chunk, topScores, topIndices, bad } = input;
  const queries = checkChunk("top_k", input);
  const k = topScores.shape.at(-1) ?? 0;
  requireTensors("top_k", [
    ["topScores", topScores, [queries, k], "f32"],
    ["topIndices", topIndices, [queries, k], "u32"],
    ["bad", bad, [queries], "u32"],
  ]);
  plan.add({
    label: "top_k",
    code: topKCode,
    constants: { QUERIES: queries, K: k },
    tensors: [scores, chunk, topScores, topIndices, bad],
    groups: [Math.ceil(queries / 64), 1, 1],
  });
}

/**
 * Records the look-up of the scores of (query, reference) pairs in one chunk; `pairScores` is
 * written where the reference is in the chunk.
 *
 * @throws {RangeError} If shapes do not fit.
 * @throws {TypeError} If element types do not fit.
 */
export function truthScores(plan: Plan, input: TruthInput): void {
  const { scores, chunk, pairs, pairScores } = input;
  const queries = checkChunk("truth_scores", input);
  const count = checkPairs("truth_scores", input);
  plan.add({
    label: "truth_scores",
    code: scoresCode,
    constants: { QUERIES: queries },
    tensors: [scores, chunk, pairs, pairScores],
    groups: grid1d(count, 64),
  });
}

/**
 * Records the count of references in one chunk that do not score below a pair's score, so that
 * ties and the pair's own reference count.
 *
 * @param input `counts` is `(pairs)` u32, added to.
 * @throws {RangeError} If shapes do not fit.
 * @throws {TypeError} If element types do not fit.
 */
export function truthCounts(plan: Plan, input: TruthInput & { counts: Tensor }): void {
  const { scores, chunk, pairs, pairScores, counts } = input;
  const queries = checkChunk("truth_counts", input);
  const count = checkPairs("truth_counts", input);
  requireTensors("truth_counts", [["counts", counts, [count], "u32"]]);
  plan.add({
    label: "truth_counts",
    code: countsCode,
    constants: { QUERIES: queries },
    tensors: [scores, chunk, pairs, pairScores, counts],
    groups: grid1d(count, 64),
  });
}

function checkChunk(kernel: string, { scores, chunk }: ScoreChunk): number {
  const [references = 0, queries = 0] = scores.shape;
  requireTensors(kernel, [
    ["scores", scores, [references, queries], "f32"],
    ["chunk", chunk, [2], "u32"],
  ]);
  return queries;
}

function checkPairs(kernel: string, { pairs, pairScores }: TruthInput): number {
  const [count = 0] = pairs.shape;
  requireTensors(kernel, [
    ["pairs", pairs, [count, 2], "u32"],
    ["pairScores", pairScores, [count], "f32"],
  ]);
  return count;
}
