/**
 * Exact retrieval on the GPU: the best references of each query and the ranks of the right ones,
 * over a gallery of any size in fixed memory.
 *
 * @module
 */
import { gemm } from "./gemm.ts";
import {
  createTensor,
  destroyTensor,
  type DType,
  type Gpu,
  readTensor,
  settleGpu,
  type Tensor,
  writeTensor,
} from "./gpu.ts";
import { Plan, runPlans } from "./plan.ts";
import { NO_SCORE, topK, truthCounts, truthScores } from "./top_k.ts";

/** What {@linkcode searchGallery} searches. */
export interface SearchInput {
  /** `(queries, dim)`, row-major. */
  queries: Float32Array;
  /** `(references, dim)`, row-major. */
  gallery: Float32Array;
  /** Length of a row. */
  dim: number;
  /** How many of the best references to keep, at least 1. */
  k: number;
  /**
   * Indices of the right references of each query, each once; one list a query. Left out where none
   * are known.
   */
  truths?: readonly (readonly number[])[];
  /** References on the GPU at a time, default 1024. */
  chunk?: number;
}

/** What {@linkcode searchGallery} finds for one query. */
export interface SearchResult {
  /**
   * For each truth: how many *other* references do not score below it. That is the 0-based rank of
   * the only truth of a query, with ties against it. Of several truths each counts those of the
   * others that score the same: `eval/ranks.ts` sets these one after the other.
   */
  counts: number[];
  /** Indices of the best `min(k, references)` references: best first, of equal scores the lower. */
  top: number[];
  /** Their scores. */
  topScores: number[];
}

/** Queries that are searched together. */
interface Block {
  /** Rows of `width` values, a multiple of 4. */
  queries: Float32Array;
  gallery: Float32Array;
  width: number;
  k: number;
  truths: readonly (readonly number[])[];
  chunk: number;
}

const MOST_QUERIES = 2048; // of a block
const GRANULE = 64; // of queries and chunks on the GPU: few shapes, so few kernels to compile
const IN_FLIGHT = 16; // chunks in the queue at most: each keeps a staging copy until it is done

/**
 * Scores every query against every reference by their dot product; exact.
 *
 * Costs queries × references × dim multiplications, and once more for the references that are a
 * truth. At no time are there more scores than those of 2048 queries and one chunk. One kernel makes
 * them all, adding in one order, so equal rows score the same. Tensors are freed, also on error.
 *
 * @returns One result a query, in order.
 * @throws {TypeError} If `dim` is no whole number above 0, the arrays do not hold whole rows, or there
 * is not one list a query.
 * @throws {RangeError} If `k` or `chunk` is below 1, a truth is no index of the gallery, or a score
 * is NaN or infinite.
 */
export async function searchGallery(gpu: Gpu, input: SearchInput): Promise<SearchResult[]> {
  const { dim, chunk = 1024 } = input;
  if (!(Number.isInteger(dim) && dim >= 1)) {
    throw new TypeError(`Cannot search: dim is ${dim}, must be a whole number above 0`);
  }
  const truths = input.truths ??
    Array.from({ length: Math.floor(input.queries.length / dim) }, () => []);
  const { count, references } = checkInput({ ...input, truths, chunk });
  if (references === 0) return truths.map(() => ({ counts: [], top: [], topScores: [] }));

  const width = roundUp(dim, 4); // the GEMM reads vec4
  const queries = padRows(input.queries, dim, width);
  const gallery = padRows(input.gallery, dim, width);
  const k = Math.min(input.k, references);
  const size = Math.ceil(count / Math.ceil(count / MOST_QUERIES)); // even blocks
  const results: SearchResult[] = [];
  for (let first = 0; first < count; first += size) {
    const tensors: Tensor[] = [];
    const create = (shape: number[], dtype?: DType) => {
      tensors.push(createTensor(gpu, shape, dtype));
      return tensors.at(-1)!;
    };
    try {
      const block = {
        queries: queries.subarray(first * width, (first + size) * width),
        truths: truths.slice(first, first + size),
      };
      const { found, bad } = await searchBlock(gpu, { ...block, gallery, width, k, chunk }, create);
      const q = bad.findIndex((reference) => reference > 0);
      if (q >= 0) {
        throw new RangeError(
          `Cannot rank query ${first + q}: its score against reference ${bad[q]! - 1} ` +
            "is not finite, wanted a number",
        );
      }
      results.push(...found);
    } finally {
      for (const tensor of tensors) destroyTensor(gpu, tensor);
    }
  }
  return results;
}

function checkInput(
  { queries, gallery, dim, k, truths, chunk }: Required<SearchInput>,
): { count: number; references: number } {
  const count = queries.length / dim;
  const references = gallery.length / dim;
  if (!Number.isInteger(count) || !Number.isInteger(references) || truths.length !== count) {
    throw new TypeError(
      `Cannot search: ${queries.length} query and ${gallery.length} gallery values with ` +
        `${truths.length} lists of truths, wanted rows of ${dim} values and one list a query`,
    );
  }
  for (const [name, value] of Object.entries({ k, chunk })) {
    if (!(Number.isInteger(value) && value >= 1)) {
      throw new RangeError(
        `Cannot search as ${name} must be at least 1: current value is ${value}`,
      );
    }
  }
  truths.forEach((list, q) => {
    const wrong = list.find((j) => !(Number.isInteger(j) && j >= 0 && j < references));
    if (wrong !== undefined) {
      throw new RangeError(
        `Cannot search: query ${q} has truth ${wrong}, the gallery has ${references} references`,
      );
    }
  });
  return { count, references };
}

/** @param create Allocates; the caller frees. */
async function searchBlock(
  gpu: Gpu,
  { queries, gallery, width, k, truths, chunk }: Block,
  create: (shape: number[], dtype?: DType) => Tensor,
): Promise<{ found: SearchResult[]; bad: Uint32Array }> {
  const right = [...new Set(truths.flat())]; // a small gallery of its own
  const placeOf = new Map(right.map((reference, place) => [reference, place]));
  const pairs = truths.flatMap((list, q) => list.flatMap((truth) => [q, placeOf.get(truth)!]));

  const references = gallery.length / width;
  const rows = roundUp(truths.length, GRANULE);
  const slots = roundUp(Math.min(chunk, references), GRANULE);
  const tensors = {
    query: create([rows, width]),
    gallery: create([slots, width]),
    scores: create([slots, rows]),
    chunk: create([2], "u32"),
    topScores: create([rows, k]),
    topIndices: create([rows, k], "u32"),
    bad: create([rows], "u32"),
    pairs: create([pairs.length / 2, 2], "u32"),
    pairScores: create([pairs.length / 2]),
    counts: create([pairs.length / 2], "u32"),
  };
  writeTensor(gpu, tensors.query, queries);
  writeTensor(gpu, tensors.topScores, new Float32Array(rows * k).fill(NO_SCORE));
  writeTensor(gpu, tensors.pairs, Uint32Array.from(pairs));

  /** Scores references `0 .. total`, a chunk at a time, and runs what `record` does with them. */
  const stream = async (
    record: (plan: Plan) => void,
    total: number,
    rowsOf: (first: number, last: number) => Float32Array,
  ) => {
    const plan = new Plan(gpu);
    const { gallery: a, query: b, scores: c } = tensors;
    gemm(plan, { form: "nt", a, b, c, label: "similarity" });
    record(plan);
    await plan.ready();
    for (let first = 0, queued = 1; first < total; first += slots, queued++) {
      const last = Math.min(first + slots, total);
      writeTensor(gpu, tensors.gallery, rowsOf(first, last));
      writeTensor(gpu, tensors.chunk, Uint32Array.of(first, last - first));
      runPlans(gpu, [plan]);
      if (queued % IN_FLIGHT === 0) await settleGpu(gpu);
    }
  };
  const rowOf = (j: number) => gallery.subarray(j * width, (j + 1) * width);
  await stream((plan) => truthScores(plan, tensors), right.length, (first, last) => {
    const values = new Float32Array((last - first) * width);
    right.slice(first, last).forEach((j, i) => values.set(rowOf(j), i * width));
    return values;
  });
  const search = (plan: Plan) => {
    topK(plan, tensors);
    truthCounts(plan, tensors);
  };
  await stream(search, references, (first, last) => gallery.subarray(first * width, last * width));

  const [topScores, topIndices, bad, counts] = await Promise.all([
    readTensor(gpu, tensors.topScores),
    readWords(gpu, tensors.topIndices),
    readWords(gpu, tensors.bad),
    readWords(gpu, tensors.counts),
  ]);
  let pair = 0;
  const found = truths.map((list, q) => ({
    counts: list.map(() => counts[pair++]! - 1), // not itself
    top: [...topIndices.subarray(q * k, (q + 1) * k)],
    topScores: [...topScores.subarray(q * k, (q + 1) * k)],
  }));
  return { found, bad: bad.subarray(0, truths.length) };
}

/** Whole numbers, which {@linkcode readTensor} would round to f32. */
async function readWords(gpu: Gpu, tensor: Tensor): Promise<Uint32Array> {
  return new Uint32Array((await readTensor(gpu, { ...tensor, dtype: "f32" })).buffer);
}

function roundUp(n: number, granule: number): number {
  return Math.ceil(n / granule) * granule;
}

/** Rows of `width` values with zeros at the end, which add nothing to a dot product. */
function padRows(values: Float32Array, dim: number, width: number): Float32Array {
  if (width === dim) return values;
  const rows = values.length / dim;
  const padded = new Float32Array(rows * width);
  for (let r = 0; r < rows; r++) padded.set(values.subarray(r * dim, (r + 1) * dim), r * width);
  return padded;
}
