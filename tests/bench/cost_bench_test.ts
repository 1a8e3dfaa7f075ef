import assert from "node:assert/strict";
import { benchCost } from "../../bench/cost_bench.ts";
import { Report } from "../../bench/report.ts";
import { modelConfig } from "../../model/config.ts";
import { gpuTest } from "../testing.ts";

gpuTest("benchCost() prints a table for each kind of work", async (gpu) => {
  const report = new Report(gpu, () => {});
  await benchCost(gpu, report, {
    config: modelConfig("vits16", { depth: 1 }),
    // One step for three tables: a CPU adapter compiles kernels for each shape anew.
    ...{ batches: [2], sizes: [32], ranks: [128], losses: [8, 16], rounds: 1 },
  });
  const { tables } = JSON.parse(JSON.stringify(report));
  const settings = Object.entries(tables as Record<string, Record<string, number>[]>).map(
    ([name, rows]) => [name, ...rows.map(({ setting, count }) => `${setting}: ${count}`)],
  );
  assert.deepEqual(settings, [
    ["cost by batch", "2: 4"],
    ["cost by tokens", "9: 4"],
    ["cost by rank", "128: 4"],
    ["cost of the loss", "8: 8", "16: 16"],
  ]);
  const [small, large] = tables["cost of the loss"];
  // 12 n² d for four passes over the logits and two gradients, 2 n d for that of logit_scale.
  assert.equal(small["GFLOP each"] * 1e9, 12 * 256 * 8 + 2 * 256);
  assert.equal(small["time / arithmetic"], 1);
  const growth = large["ms each"] / large["GFLOP each"] / (small["ms each"] / small["GFLOP each"]);
  assert(Math.abs(large["time / arithmetic"] - growth) < 1e-9 * growth);
});
