import assert from "node:assert/strict";
import { closeGpu, type Gpu, openGpu } from "../../kernels/gpu.ts";
import { searchGallery, type SearchInput } from "../../kernels/search.ts";
import { searchCpu } from "../../kernels/top_k_cpu.ts";
import { assertClose, gpuTest, uniform, unitRows } from "../testing.ts";

/**
 * Rows of multiples of 1/4 in [-1, 1]. Products are multiples of 1/16 and sums of up to 2^19 of
 * them are exact in f32 in any order, so that GPU and oracle agree bit for bit; many scores tie.
 */
function gridRows(rows: number, dim: number, seed: number): Float32Array<ArrayBuffer> {
  return uniform(rows * dim, seed).map((x) => Math.round(4 * x) / 4);
}

/** Query q has q % 4 truths. */
function someTruths(queries: number, references: number): number[][] {
  return Array.from({ length: queries }, (_, q) => {
    const list = Array.from({ length: q % 4 }, (_, i) => (q * 7919 + i * 31) % references);
    return [...new Set(list)];
  });
}

function exactCase(
  { queries, references, dim, k }: Record<"queries" | "references" | "dim" | "k", number>,
): Required<Omit<SearchInput, "chunk">> {
  return {
    queries: gridRows(queries, dim, 1),
    gallery: gridRows(references, dim, 2),
    dim,
    k,
    truths: someTruths(queries, references),
  };
}

async function assertExact(
  gpu: Gpu,
  input: SearchInput & ReturnType<typeof exactCase>,
): Promise<void> {
  const found = await searchGallery(gpu, input);
  const expected = searchCpu(input);
  assert.equal(found.length, expected.length);
  found.forEach((result, q) => assert.deepEqual(result, expected[q]));
}

// Chunks are rounded up to 64 references and blocks to 64 queries; 16 chunks are queued at a time.
for (
  const [queries, references, dim, k, chunk] of [
    [1, 1, 4, 1, 64],
    [1, 1, 3, 10, 1],
    [3, 5, 1, 10, 64],
    [65, 63, 8, 5, 64],
    [64, 64, 5, 64, 64],
    [7, 65, 6, 10, 64],
    [33, 128, 16, 1, 64],
    [20, 1100, 8, 16, 64],
    [130, 1025, 12, 10, 1024],
  ] as const
) {
  gpuTest(
    `searchGallery() equals the oracle: ${queries} x ${references} of ${dim}, k ${k}, chunk ${chunk}`,
    async (gpu) => {
      await assertExact(gpu, { ...exactCase({ queries, references, dim, k }), chunk });
    },
  );
}

gpuTest("searchGallery() equals the oracle over two blocks of queries", async (gpu) => {
  const input = exactCase({ queries: 2051, references: 70, dim: 4, k: 3 });
  await assertExact(gpu, { ...input, chunk: 64 });
  input.queries[2000 * 4] = NaN;
  await assert.rejects(searchGallery(gpu, input), /^RangeError: Cannot rank query 2000: /);
});

gpuTest("searchGallery() agrees with the oracle on rounded scores", async (gpu) => {
  const [queries, references, dim, k] = [40, 300, 36, 5];
  const input = {
    queries: unitRows(queries, dim, 1),
    gallery: unitRows(references, dim, 2),
    dim,
    k,
    truths: Array.from({ length: queries }, (_, q) => [q, 299 - q]),
  };
  const found = await searchGallery(gpu, { ...input, chunk: 128 });
  const expected = searchCpu(input);
  // Sums of 36 products, which stay below 1. Scores of 300 references lie about 1e-3 apart, so none
  // changes place.
  for (let q = 0; q < queries; q++) {
    assert.deepEqual(found[q]!.counts, expected[q]!.counts);
    assert.deepEqual(found[q]!.top, expected[q]!.top);
    assertClose(found[q]!.topScores, expected[q]!.topScores, { atol: 36 * 2 ** -24, rtol: 0 });
  }
});

async function assertAllEqualRows(gpu: Gpu): Promise<void> {
  const rows = (count: number) => {
    const row = unitRows(1, 24, 1); // its score against itself is rounded
    return Float32Array.from({ length: count * 24 }, (_, i) => row[i % 24]!);
  };
  const found = await searchGallery(gpu, {
    queries: rows(70),
    gallery: rows(200),
    dim: 24,
    k: 3,
    truths: Array.from({ length: 70 }, (_, q) => [q]),
    chunk: 64,
  });
  for (const { counts, top } of found) {
    assert.deepEqual(counts, [199]);
    assert.deepEqual(top, [0, 1, 2]);
  }
}

gpuTest(
  "searchGallery() ranks all other references first when all rows are equal",
  assertAllEqualRows,
);

gpuTest("searchGallery() scores equal rows equally without subgroups too", async () => {
  const gpu = await openGpu({ subgroups: false }); // another GEMM makes the scores
  try {
    await assertAllEqualRows(gpu);
  } finally {
    closeGpu(gpu);
  }
});

gpuTest("searchGallery() finds a copy of every query first, wherever it lies", async (gpu) => {
  const [count, dim] = [400, 48];
  const gallery = unitRows(count, dim, 3);
  const truths = Array.from({ length: count }, (_, q) => [count - 1 - q]);
  const rows = truths.map(([j]) => gallery.subarray(j! * dim, (j! + 1) * dim));
  const queries = Float32Array.from(rows.flatMap((row) => [...row]));
  const found = await searchGallery(gpu, { queries, gallery, dim, k: 1, truths, chunk: 64 });
  assert.deepEqual(found.map(({ top }) => top), truths);
  assert(found.every(({ counts }) => counts[0] === 0));
});

gpuTest("searchGallery() orders a case worked out by hand", async (gpu) => {
  const found = await searchGallery(gpu, {
    queries: Float32Array.of(1, 0, 0, 1),
    gallery: Float32Array.of(0.5, 1, 0.25, 1, 0.5, 0, -1, 1),
    dim: 2,
    k: 10,
    truths: [[2, 3], []],
  });
  assert.deepEqual(found, [
    { counts: [1, 3], top: [0, 2, 1, 3], topScores: [0.5, 0.5, 0.25, -1] },
    { counts: [], top: [0, 1, 3, 2], topScores: [1, 1, 1, 0] },
  ]);
});

gpuTest("searchGallery() is empty without queries or references", async (gpu) => {
  const empty = new Float32Array();
  const row = Float32Array.of(1, 0);
  assert.deepEqual(
    await searchGallery(gpu, { queries: empty, gallery: row, dim: 2, k: 1, truths: [] }),
    [],
  );
  assert.deepEqual(
    await searchGallery(gpu, { queries: row, gallery: empty, dim: 2, k: 1, truths: [[]] }),
    [{ counts: [], top: [], topScores: [] }],
  );
});

gpuTest("searchGallery() refuses a score that is not finite and frees its memory", async (gpu) => {
  const input = { ...exactCase({ queries: 70, references: 200, dim: 8, k: 3 }), chunk: 64 };
  for (const [value, query, reference] of [[NaN, 0, 150], [Infinity, 0, 3]] as const) {
    const gallery = input.gallery.slice();
    gallery[reference * 8] = value;
    const queries = input.queries.slice();
    queries[query * 8] = 1;
    await assert.rejects(
      searchGallery(gpu, { ...input, queries, gallery }),
      new RangeError(
        `Cannot rank query ${query}: its score against reference ${reference} is not finite, ` +
          "wanted a number",
      ),
    );
  }
  const queries = input.queries.slice();
  queries[69 * 8 + 7] = NaN;
  await assert.rejects(
    searchGallery(gpu, { ...input, queries }),
    /^RangeError: Cannot rank query 69: its score against reference 0 is not finite/,
  );
  assert.equal(gpu.memory.current, 0);
});

gpuTest("searchGallery() needs no more memory for a larger gallery", async (gpu) => {
  const peaks = [];
  for (const references of [128, 1280]) {
    gpu.memory.peak = 0;
    const input = exactCase({ queries: 10, references, dim: 4, k: 2 });
    await searchGallery(gpu, { ...input, truths: input.truths.map(() => [0]), chunk: 128 });
    peaks.push(gpu.memory.peak);
    assert.equal(gpu.memory.current, 0);
  }
  assert.equal(peaks[0], peaks[1]);
});

gpuTest("searchGallery() waits for the GPU each time that 16 chunks are queued", async (gpu) => {
  const { queue } = gpu.device;
  const wait = queue.onSubmittedWorkDone;
  let [waits, waiting] = [0, 0];
  queue.onSubmittedWorkDone = async () => {
    waits++;
    waiting++;
    await wait.call(queue);
    waiting--;
  };
  const { submit } = queue;
  queue.submit = (commands) => {
    assert.equal(waiting, 0, "more is queued meanwhile");
    submit.call(queue, commands);
  };
  const input = exactCase({ queries: 1, references: 40 * 64, dim: 4, k: 1 });
  await searchGallery(gpu, { ...input, chunk: 64 });
  assert.equal(waits, 2);
});

gpuTest("searchGallery() finds the best references where no truths are known", async (gpu) => {
  const { truths: _, ...input } = exactCase({ queries: 5, references: 70, dim: 8, k: 3 });
  const found = await searchGallery(gpu, input);
  assert.deepEqual(found, searchCpu({ ...input, truths: Array.from({ length: 5 }, () => []) }));
});

gpuTest("searchGallery() refuses input that does not fit", async (gpu) => {
  const input = exactCase({ queries: 2, references: 3, dim: 4, k: 1 });
  const refuse = (change: Partial<SearchInput>, error: Error) =>
    assert.rejects(searchGallery(gpu, { ...input, ...change }), error);
  await refuse(
    { dim: 5 },
    new TypeError(
      "Cannot search: 8 query and 12 gallery values with 2 lists of truths, " +
        "wanted rows of 5 values and one list a query",
    ),
  );
  for (const dim of [2.5, 0]) {
    await refuse(
      { dim },
      new TypeError(`Cannot search: dim is ${dim}, must be a whole number above 0`),
    );
  }
  await refuse(
    { truths: [[]] },
    new TypeError(
      "Cannot search: 8 query and 12 gallery values with 1 lists of truths, " +
        "wanted rows of 4 values and one list a query",
    ),
  );
  await refuse(
    { truths: [[], [3]] },
    new RangeError("Cannot search: query 1 has truth 3, the gallery has 3 references"),
  );
  await refuse(
    { k: 0 },
    new RangeError("Cannot search as k must be at least 1: current value is 0"),
  );
  await refuse(
    { chunk: NaN },
    new RangeError("Cannot search as chunk must be at least 1: current value is NaN"),
  );
});
