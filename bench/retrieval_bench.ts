/**
 * Exact search of a gallery on the GPU: the best references of each query, and the ranks of the
 * right ones.
 *
 * @module
 */
import { isDeepStrictEqual } from "node:util";
import type { Gpu } from "../kernels/gpu.ts";
import { searchGallery, type SearchInput, type SearchResult } from "../kernels/search.ts";
import { searchCpu } from "../kernels/top_k_cpu.ts";
import { interleave, summarise, wallTime } from "./measure.ts";
import type { Report } from "./report.ts";
import { rowsToCheck, takeRows } from "./room.ts";
import { uniform } from "./values.ts";

/** Options of {@linkcode benchRetrieval}. */
export interface RetrievalBenchOptions {
  queries: number;
  /** Sizes of the galleries. */
  references: readonly number[];
  /** Numbers of an embedding. */
  dim: number;
  /** How many of the best references are kept. */
  k: number;
  rounds: number;
}

const TRUTHS = 3; // right references of each query
const MIB = 2 ** 20;
const COLUMNS = ["references", "min ms", "median ms", "GFLOP/s", "GPU MiB"];

/** Prints the table `retrieval`: searches checked, then timed in turns. */
export async function benchRetrieval(
  gpu: Gpu,
  report: Report,
  { references, rounds, ...options }: RetrievalBenchOptions,
): Promise<void> {
  const { queries, dim, k } = options;
  const inputs = references.map((count) => searchInput(count, options));
  const peaks: number[] = [];
  for (const input of inputs) {
    const before = gpu.memory.current;
    gpu.memory.peak = before;
    checkSearch(input, await searchGallery(gpu, input)); // compiles the kernels, too
    peaks.push(gpu.memory.peak - before);
  }
  const samples = await interleave(
    rounds,
    inputs.map((input) => () => wallTime(() => searchGallery(gpu, input))),
  );
  const row = report.table(
    "retrieval",
    COLUMNS,
    `${queries} queries of ${dim} numbers, k = ${k}, ${TRUTHS} right references each`,
  );
  references.forEach((count, i) => {
    const { min, median } = summarise(samples[i]!);
    row([count, min, median, 2 * queries * count * dim / min / 1e6, peaks[i]! / MIB]);
  });
}

/**
 * Multiples of 1/4 in [-1, 1]: sums of their products are exact in f32 whatever their order, so a
 * result is that of the oracle or wrong.
 */
function searchInput(
  references: number,
  { queries, dim, k }: Pick<RetrievalBenchOptions, "queries" | "dim" | "k">,
): SearchInput {
  const rows = (count: number, seed: number) =>
    uniform(count * dim, seed).map((x) => Math.round(4 * x) / 4);
  const truthsOf = (q: number) => Array.from({ length: TRUTHS }, (_, i) => (q + i) % references);
  return {
    queries: rows(queries, 1),
    gallery: rows(references, 2),
    truths: Array.from({ length: queries }, (_, q) => truthsOf(q)),
    dim,
    k,
  };
}

/**
 * Compares some queries with the oracle, which is slow.
 *
 * @throws {RangeError} If one differs.
 */
export function checkSearch(input: SearchInput, found: readonly SearchResult[]): void {
  const checked = rowsToCheck(found.length);
  const queries = takeRows(input.queries, input.dim, checked);
  const truths = checked.map((q) => input.truths?.[q] ?? []);
  searchCpu({ ...input, queries, truths }).forEach((expected, i) => {
    const q = checked[i]!;
    if (isDeepStrictEqual(found[q], expected)) return;
    throw new RangeError(
      `Cannot time a search: query ${q} has ${JSON.stringify(found[q])}, ` +
        `expected ${JSON.stringify(expected)}`,
    );
  });
}
