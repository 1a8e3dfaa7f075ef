/**
 * Tint accepts every kernel of a step: also those in f16 and with subgroups, which the software
 * adapter of `deno task test:dawn` cannot run. What it can run, the other tests run there.
 *
 * @module
 */
import assert from "node:assert/strict";
import { matrixCase } from "../../bench/ceilings.ts";
import { Room } from "../../bench/room.ts";
import { attentionVariant } from "../../kernels/attention.ts";
import { gemm } from "../../kernels/gemm.ts";
import { defaultLayout, GEMM_LAYOUTS, type GemmLayout } from "../../kernels/gemm_layout.ts";
import { closeGpu, createTensor, type Gpu, openGpu } from "../../kernels/gpu.ts";
import { Plan, runOnce } from "../../kernels/plan.ts";
import { compileStep, modulesOnly, STEPS } from "./steps.ts";

const isAsked = Deno.env.get("GPU") === "dawn";

function tintTest(name: string, fn: (gpu: Gpu) => Promise<void>): void {
  Deno.test({
    name,
    ignore: !isAsked,
    fn: async () => {
      const gpu = await openGpu({ host: "dawn-null" });
      assert(gpu.hasF16);
      try {
        // The null adapter has the fewest bindings allowed, a GEMM takes more.
        await fn({ ...gpu, device: modulesOnly(gpu.device) });
      } finally {
        closeGpu(gpu);
      }
    },
  });
}

tintTest("Tint refuses what naga lets pass", async (gpu) => {
  const code = `
    @group(0) @binding(0) var<storage, read_write> x: array<f32>;
    @compute @workgroup_size(64)
    fn main(@builtin(local_invocation_index) lane: u32) {
      if (lane > 3) { return; }
      workgroupBarrier();
      x[lane] = 1;
    }`;
  const run = { label: "early return", code, tensors: [], groups: [1, 1, 1] } as const;
  await assert.rejects(runOnce(gpu, (plan) => plan.add(run)), /SyntaxError.*uniform control flow/);
});

for (const layout of Object.keys(GEMM_LAYOUTS) as GemmLayout[]) {
  tintTest(`Tint compiles a GEMM laid out as ${layout}`, async (gpu) => {
    const plan = new Plan(gpu);
    for (const dtype of ["f32", "f16"] as const) {
      const make = () => createTensor(gpu, [128, 128], dtype);
      const second = { a: make(), b: make(), scale: 1 };
      gemm(plan, { form: "nt", a: make(), b: make(), c: make(), second, layout });
      gemm(plan, { form: "tn", a: make(), b: make(), c: make(), layout });
    }
    await plan.ready();
  });
}

tintTest("Tint compiles the ceiling of matrix units", async (gpu) => {
  const plan = new Plan(gpu);
  matrixCase(gpu, new Room(gpu), 8).record(plan);
  await plan.ready();
});

const STEP = { m: 10, n: 384, k: 384, isHalf: true };
for (const step of STEPS) {
  const { model, precision, dropout } = step;
  tintTest(`Tint compiles a step of ${model} in ${precision}, dropout ${dropout}`, (gpu) => {
    assert.match(defaultLayout(gpu, STEP), /^tile/);
    return compileStep(gpu, step);
  });
}
for (const step of STEPS) {
  const { model, precision, dropout } = step;
  tintTest(
    `Tint compiles a step of ${model} in ${precision}, dropout ${dropout}, with subgroups of 8`,
    (gpu) => {
      const eight = { ...gpu, isCpu: true, subgroupMinSize: 8 };
      assert.match(defaultLayout(eight, STEP), /^subgroup/);
      assert.equal(attentionVariant(eight, "f32"), "subgroup");
      return compileStep(eight, step);
    },
  );
}
for (const hasManyRegisters of [true, false]) {
  const variant = hasManyRegisters ? "split" : "thin";
  for (const step of STEPS.filter(({ dropout }) => dropout === 0)) {
    const { model, precision } = step;
    tintTest(`Tint compiles a step of ${model} in ${precision} with ${variant} rows`, (gpu) => {
      const many = { ...gpu, subgroupMinSize: 32, hasManyRegisters };
      assert.equal(attentionVariant(many, "f16"), variant);
      return compileStep(many, step);
    });
  }
}
for (const step of STEPS.filter(({ precision }) => precision === "f16")) {
  const { model, dropout } = step;
  tintTest(
    `Tint compiles a step of ${model} in f16, dropout ${dropout}, with matrix units`,
    (gpu) => {
      assert.equal(gpu.hasMatrix, false); // it has the feature and not one size of matrices
      const units = { ...gpu, hasMatrix: true };
      assert.match(defaultLayout(units, STEP), /^matrix/);
      return compileStep(units, step);
    },
  );
}
