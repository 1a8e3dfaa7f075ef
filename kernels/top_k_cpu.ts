/** What {@linkcode searchCpu} searches; rows of `dim` values. */
export interface CpuSearch {
  queries: Float32Array;
  gallery: Float32Array;
  dim: number;
  k: number;
  /** Indices of the right references, one list a query. */
  truths: readonly (readonly number[])[];
}

/** What {@linkcode searchCpu} finds for one query. */
export interface CpuSearchResult {
  /** Of each truth: how many other references do not score below it. */
  counts: number[];
  /** Indices of the best references, best first, of equal scores the lower. */
  top: number[];
  topScores: number[];
}

/** Exact retrieval in plain f64 loops over all scores: the definition the kernels are held to. */
export function searchCpu(
  { queries, gallery, dim, k, truths }: CpuSearch,
): CpuSearchResult[] {
  return truths.map((list, q) => {
    const scores: number[] = [];
    for (let j = 0; j < gallery.length / dim; j++) {
      let dot = 0;
      for (let d = 0; d < dim; d++) dot += queries[q * dim + d]! * gallery[j * dim + d]!;
      scores.push(dot);
    }
    const top = scores.map((_, j) => j)
      .sort((a, b) => scores[b]! - scores[a]! || a - b)
      .slice(0, k);
    return {
      counts: list.map((t) => scores.filter((x, j) => j !== t && !(x < scores[t]!)).length),
      top,
      topScores: top.map((j) => scores[j]!),
    };
  });
}
