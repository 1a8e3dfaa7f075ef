import assert from "node:assert/strict";
import { columnSum } from "../../kernels/column_sum.ts";
import { columnSumCpu } from "../../kernels/column_sum_cpu.ts";
import { createTensor, readTensor, uploadTensor } from "../../kernels/gpu.ts";
import { Plan, runOnce } from "../../kernels/plan.ts";
import { assertClose, gpuTest, uniform } from "../testing.ts";
import { guarded } from "./guarded.ts";

// 32 row lanes and 8 vec4s of columns a workgroup: below, at and past both.
const SHAPES = [
  [1, 4],
  [7, 8],
  [31, 28],
  [32, 32],
  [33, 36],
  [65, 388],
  [2088, 384],
  [5, 4096],
  [65536, 4],
] as const;

/** Multiples of 1/128 up to 1: f16 holds them, f32 any sum of 65,536 of them, so none errs. */
const exact = (count: number, seed: number) =>
  uniform(count, seed).map((x) => Math.round(128 * x) / 128);

for (const dtype of ["f32", "f16"] as const) {
  for (const [rows, columns] of SHAPES) {
    gpuTest({
      name: `columnSum() matches the oracle at (${rows}, ${columns}) in ${dtype}`,
      needs: [dtype],
    }, async (gpu) => {
      const values = exact(rows * columns, 1);
      const start = exact(columns, 2);
      const x = uploadTensor(gpu, values, [rows, columns], dtype);
      const stored = uploadTensor(gpu, start, [columns]);
      const added = uploadTensor(gpu, start, [columns]);
      await runOnce(gpu, (plan) => {
        columnSum(plan, { x, y: stored, accumulate: false });
        columnSum(plan, { x, y: added, accumulate: true });
      });
      const zeros = new Float32Array(columns);
      const bits = { atol: 0, rtol: 0 };
      assertClose(await readTensor(gpu, stored), columnSumCpu(values, zeros), bits);
      assertClose(await readTensor(gpu, added), columnSumCpu(values, start), bits);
    });
  }
}

gpuTest({ name: "columnSum() reads nothing past the last row", needs: ["f16"] }, async (gpu) => {
  const { view } = guarded(gpu, [33, 4], "f16"); // all 7
  const y = createTensor(gpu, [4]);
  await runOnce(gpu, (plan) => columnSum(plan, { x: view, y, accumulate: false }));
  assert.deepEqual(await readTensor(gpu, y), new Float32Array(4).fill(7 * 33));
});

gpuTest("columnSum() gives the same bits again", async (gpu) => {
  const x = uploadTensor(gpu, uniform(2088 * 384, 1), [2088, 384]);
  const [first, second] = [createTensor(gpu, [384]), createTensor(gpu, [384])];
  await runOnce(gpu, (plan) => {
    columnSum(plan, { x, y: first, accumulate: false });
    columnSum(plan, { x, y: second, accumulate: false });
  });
  assert.deepEqual(await readTensor(gpu, first), await readTensor(gpu, second));
});

gpuTest("columnSum() refuses tensors that do not fit", async (gpu) => {
  const plan = new Plan(gpu);
  const x = createTensor(gpu, [2, 8]);
  assert.throws(
    () => columnSum(plan, { x, y: createTensor(gpu, [4]), accumulate: false }),
    new RangeError("Cannot run column_sum: y is (4) f32, it must be (8) f32"),
  );
  assert.throws(
    () => columnSum(plan, { x, y: createTensor(gpu, [8], "f16"), accumulate: false }),
    new TypeError("Cannot run column_sum: y is (8) f16, it must be (8) f32"),
  );
  assert.throws(
    () => columnSum(plan, { x: createTensor(gpu, [8, 2]), y: x, accumulate: false }),
    new RangeError("Cannot run column_sum: x is (8,2), its last dimension must be a multiple of 4"),
  );
  await plan.ready();
});
