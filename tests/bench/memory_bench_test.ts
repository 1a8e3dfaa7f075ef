import assert from "node:assert/strict";
import { benchMemory } from "../../bench/memory_bench.ts";
import { Report } from "../../bench/report.ts";
import { gpuTest } from "../testing.ts";

gpuTest("the full batch of the plain recipe fits the memory it is held to", (gpu) => {
  const report = new Report(gpu, () => {});
  benchMemory(gpu, report);
  const rows = report.rows("memory");
  assert.equal(rows.length, 8);
  const total = (px: number, precision: string, checkpointing: string) =>
    rows.find((row) =>
      row.px === px && row.precision === precision && row.checkpointing === checkpointing
    )!["total GiB"] as number;
  assert(total(384, "f16", "no") <= 24);
  assert(total(384, "f16", "yes") <= 8);
  for (const row of rows) {
    assert((row["% of plain"] as number) <= (row.checkpointing === "yes" ? 40 : 100));
  }
  assert(total(384, "f16", "no") > total(256, "f16", "no"));
  assert(total(384, "f32", "no") > total(384, "f16", "no"));
  return Promise.resolve();
});
