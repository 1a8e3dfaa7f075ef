import assert from "node:assert/strict";
import { activate, type ActivateInput } from "../../kernels/activate.ts";
import { activateCpu } from "../../kernels/activate_cpu.ts";
import { createTensor, type DType, type Gpu, readTensor, uploadTensor } from "../../kernels/gpu.ts";
import { Plan, runOnce } from "../../kernels/plan.ts";
import { assertClose, gpuTest, uniform } from "../testing.ts";
import { guarded } from "./guarded.ts";

const SITE = { seed: 42, step: 5, stream: 17, first: 1000 };

interface Case {
  shape: [number, number];
  dtype: DType;
  activation: ActivateInput["activation"];
  rate: number;
}

async function run(gpu: Gpu, values: Float32Array, { shape, dtype, activation, rate }: Case) {
  const x = uploadTensor(gpu, values, shape, dtype);
  const y = createTensor(gpu, shape, dtype);
  const site = uploadTensor(gpu, Uint32Array.of(...Object.values(SITE)), [4], "u32");
  const dropout = rate > 0 ? { rate, site } : null;
  await runOnce(gpu, (plan) => activate(plan, { x, y, activation, dropout }));
  return { x: await readTensor(gpu, x), y: await readTensor(gpu, y) };
}

async function check(gpu: Gpu, input: Case): Promise<void> {
  const { shape: [rows, columns], dtype, activation, rate } = input;
  const values = uniform(rows * columns, 1).map((x) => 4 * x);
  const { x, y } = await run(gpu, values, input);
  const expected = activateCpu(x, { activation, dropout: rate > 0 ? { rate, ...SITE } : null });
  // GELU is within 5e-7 (gelu_test), then two roundings in f32 and one in f16, which ends at 2^-24.
  const atol = (activation === "gelu" ? 5e-7 / (1 - rate) : 0) + (dtype === "f16" ? 2 ** -25 : 0);
  assertClose(y, expected, { atol, rtol: 2 ** -22 + (dtype === "f16" ? 2 ** -11 : 0) });
}

for (const dtype of ["f32", "f16"] as const) {
  for (const activation of ["identity", "gelu", "relu"] as const) {
    for (const rate of [0, 0.1, 0.5]) {
      gpuTest({
        name: `activate() matches the oracle: ${activation}, rate ${rate}, ${dtype}`,
        needs: [dtype],
      }, async (gpu) => {
        // 64 vec4s a workgroup: below, at and past it.
        for (const shape of [[1, 4], [7, 8], [1, 256], [65, 4], [29, 388], [3, 4096]]) {
          await check(gpu, { shape: shape as [number, number], dtype, activation, rate });
        }
      });
    }
  }
}

gpuTest({ name: "activate() writes nothing past the end", needs: ["f16"] }, async (gpu) => {
  const x = uploadTensor(gpu, uniform(12, 1), [3, 4], "f16");
  const y = guarded(gpu, [3, 4], "f16");
  await runOnce(gpu, (plan) => {
    activate(plan, { x, y: y.view, activation: "identity", dropout: null });
  });
  await y.check();
});

gpuTest("activate() folds a grid of more than 32768 workgroups", async (gpu) => {
  await check(gpu, { shape: [8193, 1024], dtype: "f32", activation: "identity", rate: 0.5 });
});

gpuTest("activate() with relu keeps NaN and makes 0 of 0", async (gpu) => {
  const { y } = await run(gpu, Float32Array.of(NaN, 0, -1, 2), {
    shape: [1, 4],
    dtype: "f32",
    activation: "relu",
    rate: 0,
  });
  assert.deepEqual(y, Float32Array.of(NaN, 0, 0, 2));
});

gpuTest("activate() refuses a rate outside [0, 1) and shapes that differ", async (gpu) => {
  const plan = new Plan(gpu);
  const x = createTensor(gpu, [2, 8]);
  const site = createTensor(gpu, [4], "u32");
  const input = { x, y: createTensor(gpu, [2, 8]), activation: "gelu" } as const;
  for (const rate of [-0.1, 1, NaN]) {
    assert.throws(
      () => activate(plan, { ...input, dropout: { rate, site } }),
      new RangeError(`Cannot run activate as rate must be in [0, 1): current value is ${rate}`),
    );
  }
  assert.throws(
    () => activate(plan, { ...input, y: createTensor(gpu, [2, 4]), dropout: null }),
    new RangeError("Cannot run activate: y is (2,4) f32, it must be (2,8) f32"),
  );
  await plan.ready();
});
