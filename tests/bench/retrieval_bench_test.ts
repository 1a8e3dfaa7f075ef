import assert from "node:assert/strict";
import { Report } from "../../bench/report.ts";
import { benchRetrieval, checkSearch } from "../../bench/retrieval_bench.ts";
import { searchCpu } from "../../kernels/top_k_cpu.ts";
import { gpuTest } from "../testing.ts";

gpuTest("benchRetrieval() prints a row for each gallery", async (gpu) => {
  const report = new Report(gpu, () => {});
  const [queries, dim] = [5, 8];
  await benchRetrieval(gpu, report, { queries, references: [70, 1100], dim, k: 3, rounds: 2 });
  const rows = report.rows("retrieval") as Record<string, number>[];
  assert.deepEqual(rows.map(({ references }) => references), [70, 1100]);
  for (const row of rows) {
    assert(row["min ms"]! > 0 && row["min ms"]! <= row["median ms"]!);
    const flops = row["GFLOP/s"]! * row["min ms"]! * 1e6;
    assert(Math.abs(flops - 2 * queries * row.references! * dim) < 1e-3);
  }
  // 64 rows of queries and 128 of references, their scores, and less than 1 KiB of results.
  const bytes = rows[0]!["GPU MiB"]! * 2 ** 20;
  const least = 4 * (64 * dim + 128 * dim + 64 * 128);
  assert(bytes >= least && bytes < least + 2 * 4 * 64 * 3 + 1024, `${bytes} bytes`);
  assert(rows[1]!["GPU MiB"]! > rows[0]!["GPU MiB"]!); // a chunk is 1024 references
  assert.equal(gpu.memory.current, 0);
});

Deno.test("checkSearch() refuses a wrong rank, index or score", () => {
  const input = {
    queries: Float32Array.of(1, 0, 0, 1, 1, 1),
    gallery: Float32Array.of(1, 0.5, 0.25, 1),
    ...{ dim: 2, k: 1, truths: [[0], [1], [0, 1]] },
  };
  const right = () => searchCpu(input);
  checkSearch(input, right());
  for (const q of [0, 1, 2]) {
    for (const change of [{ counts: [7] }, { top: [7] }, { topScores: [NaN] }]) {
      const found = right();
      found[q] = { ...found[q]!, ...change };
      assert.throws(
        () => checkSearch(input, found),
        new RegExp(`^RangeError: Cannot time a search: query ${q} has `),
      );
    }
  }
});
