import assert from "node:assert/strict";
import { benchCost, fastest } from "../../bench/cost_bench.ts";
import { Report } from "../../bench/report.ts";
import { modelConfig } from "../../model/config.ts";
import { gpuTest } from "../testing.ts";

gpuTest({
  name: "benchCost() prints a table for each kind of work",
  needs: ["timestamps"],
}, async (gpu) => {
  const report = new Report(gpu, () => {});
  await benchCost(gpu, report, {
    config: modelConfig("vits16", { depth: 1 }),
    // One step for three tables: a CPU adapter compiles kernels for each shape anew.
    ...{ batches: [2], sizes: [32], ranks: [128], losses: [8, 16], rounds: 1 },
  });
  const names = ["cost by batch", "cost by tokens", "cost by rank", "cost of the loss"];
  const settings = names.map((name) => [
    name,
    ...report.rows(name).map(({ setting, count }) => `${setting}: ${count}`),
  ]);
  assert.deepEqual(settings, [
    ["cost by batch", "2: 4"],
    ["cost by tokens", "9: 4"],
    ["cost by rank", "128: 4"],
    ["cost of the loss", "8: 8", "16: 16"],
  ]);
  const [small, large] = report.rows("cost of the loss") as Record<string, number>[];
  // 12 n² d for four passes over the logits and two gradients, 2 n d for that of logit_scale.
  assert.equal(small!["GFLOP each"]! * 1e9, 12 * 256 * 8 + 2 * 256);
  assert.equal(small!["time / arithmetic"], 1);
  const each = (row: Record<string, number>) => row["ms each"]! / row["GFLOP each"]!;
  const growth = each(large!) / each(small!);
  assert(Math.abs(large!["time / arithmetic"]! - growth) < 1e-9 * growth);
});

Deno.test("fastest() takes each kernel from the round in which it was fastest", () => {
  const row = (label: string, ms: number, flops: number) => ({
    label,
    ms,
    flops,
    calls: 1,
    bytes: 0,
  });
  const rounds = [[row("a", 2, 10), row("b", 5, 100)], [row("b", 4, 100), row("a", 3, 10)]];
  assert.deepEqual(fastest(rounds), { ms: 6, flops: 110 });
});
