import assert from "node:assert/strict";
import { gemm } from "../../kernels/gemm.ts";
import { defaultLayout } from "../../kernels/gemm_layout.ts";
import { createTensor, type DType, type Gpu } from "../../kernels/gpu.ts";
import { Plan } from "../../kernels/plan.ts";
import { startTuning, tune } from "../../kernels/tune.ts";
import { gpuTest } from "../testing.ts";
import { CASES, checkCases } from "./gemm_cases.ts";
import { FRAGMENT, withMatrices } from "./matrix_units.ts";

for (const dtype of ["f32", "f16"] as const) {
  const { length } = CASES[dtype];
  gpuTest({
    name: `gemm() matches the oracle on ${length} cases in ${dtype}, matrix units emulated`,
    needs: [dtype],
  }, async (gpu) => {
    await checkCases(withMatrices(gpu), "matrix 64x64", dtype);
  });
}

Deno.test("defaultLayout() takes matrix units where operands are stored as f16", () => {
  const layout = (hasMatrix: boolean, isHalf: boolean) =>
    defaultLayout({ hasMatrix, hasManyRegisters: true, isCpu: false } as Gpu, {
      m: 64,
      n: 64,
      k: 64,
      isHalf,
    });
  assert.equal(layout(true, true), "matrix 64x64");
  assert.equal(layout(true, false), "tile 64x64");
  assert.equal(layout(false, true), "tile 64x64");
});

gpuTest({
  name: "gemm() takes matrix units for f16 operands, tuned or not",
  needs: ["f16"],
}, async (gpu) => {
  const units = withMatrices(gpu);
  const make = (dtype: DType) => createTensor(gpu, [8, 8], dtype);
  const layoutOf = async (
    types: Partial<Record<"a" | "b" | "a2" | "b2", DType>>,
    roundsB = false,
  ) => {
    units.pipelines.clear();
    const { a, b, a2, b2 } = types;
    const plan = new Plan(units);
    gemm(plan, {
      form: "nt",
      c: make("f32"),
      roundsB,
      ...(a && b ? { a: make(a), b: make(b) } : {}),
      ...(a2 && b2 ? { second: { a: make(a2), b: make(b2), scale: 1 } } : {}),
    });
    await plan.ready();
    const sources = [...units.pipelines.keys()];
    assert.equal(sources.length, 1);
    if (!sources[0]!.includes(FRAGMENT)) return "other";
    assert.equal(await tune(units, [plan]), 0, "nothing to try");
    return "matrix";
  };
  startTuning(units, { level: "full", answers: new Map() });
  assert.equal(await layoutOf({ a: "f16", b: "f16" }), "matrix");
  assert.equal(await layoutOf({ a: "f16", b: "f16", a2: "f16", b2: "f32" }), "matrix");
  assert.equal(await layoutOf({ a2: "f16", b2: "f32" }), "matrix");
  assert.equal(await layoutOf({ a: "f16", b: "f32" }, true), "matrix");
  assert.equal(await layoutOf({ a: "f32", b: "f16" }), "other");
  assert.equal(await layoutOf({ a: "f16", b: "f32" }), "other");
  assert.equal(await layoutOf({ a2: "f32", b2: "f32" }), "other");
  assert.equal(await layoutOf({ a: "f32", b: "f32" }, true), "other");
});
