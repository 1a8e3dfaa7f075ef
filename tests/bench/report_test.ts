import assert from "node:assert/strict";
import { formatCell, Report } from "../../bench/report.ts";

const GPU = { name: "some adapter", host: "deno" } as const;

Deno.test("formatCell() keeps four digits and marks what is missing", () => {
  assert.deepEqual([123456.7, 0.00123456, 2, null, "copy"].map(formatCell), [
    "123500",
    "0.001235",
    "2",
    "-",
    "copy",
  ]);
});

Deno.test("Report prints the adapter first, then tables as TSV", () => {
  const lines: string[] = [];
  const report = new Report(GPU, (line) => lines.push(line));
  const row = report.table("kernels", ["kernel", "ms"], "2 images");
  row(["gemm", 1.23456]);
  assert.match(lines[0]!, /^# adapter some adapter, host deno, deno \d/);
  assert.deepEqual(lines.slice(1), ["\n# kernels: 2 images", "kernel\tms", "gemm\t1.235"]);
});

Deno.test("Report.save() writes all digits of all tables", async () => {
  const report = new Report(GPU, () => {});
  report.table("a", ["x"])([1.23456]);
  report.table("b", ["y", "z"])([null, "w"]);
  const file = await Deno.makeTempFile();
  try {
    await report.save(file);
    const { machine, tables } = JSON.parse(await Deno.readTextFile(file));
    assert.equal(machine.adapter, "some adapter");
    assert.deepEqual(tables, { a: [{ x: 1.23456 }], b: [{ y: null, z: "w" }] });
  } finally {
    await Deno.remove(file);
  }
});

Deno.test("Report.rows() gives back a table", () => {
  const report = new Report(GPU, () => {});
  assert.deepEqual(report.rows("a"), []);
  report.table("a", ["x"])([1.23456]);
  assert.deepEqual(report.rows("a"), [{ x: 1.23456 }]);
});

Deno.test("Report refuses a row of another length", () => {
  const row = new Report(GPU, () => {}).table("kernels", ["kernel", "ms"]);
  assert.throws(
    () => row(["gemm"]),
    /^RangeError: Cannot add 1 cells to table "kernels": it has 2 columns$/,
  );
});
