import assert from "node:assert/strict";
import { createTensor, type Gpu, readTensor, uploadTensor } from "../../kernels/gpu.ts";
import { normalise, normaliseBackward } from "../../kernels/normalise.ts";
import { normaliseBackwardCpu, normaliseCpu } from "../../kernels/normalise_cpu.ts";
import { Plan, runOnce } from "../../kernels/plan.ts";
import { assertClose, gpuTest, uniform } from "../testing.ts";
import { centralGradient, dot } from "./central.ts";
import { guarded } from "./guarded.ts";

async function check(gpu: Gpu, values: Float32Array, columns: number): Promise<void> {
  const rows = values.length / columns;
  const shape = [rows, columns];
  const gradient = uniform(rows * columns, 2);
  const x = uploadTensor(gpu, values, shape);
  const y = createTensor(gpu, shape);
  const norms = createTensor(gpu, [rows]);
  const dy = uploadTensor(gpu, gradient, shape);
  const dx = createTensor(gpu, shape);
  await runOnce(gpu, (plan) => {
    normalise(plan, { x, y, norms });
    normaliseBackward(plan, { dy, y, norms, dx });
  });
  // All terms of the squared length are positive: its relative error is (columns / 32 + 8) * 2^-24,
  // half of it in the root; then one division.
  const relative = (columns / 32 + 16) * 2 ** -24;
  const expected = normaliseCpu(values, columns);
  assertClose(await readTensor(gpu, y), expected.y, { atol: 1e-37, rtol: relative });
  assertClose(await readTensor(gpu, norms), expected.norms, { atol: 1e-19, rtol: relative });
  const backward = normaliseBackwardCpu(gradient, expected.y, expected.norms);
  const actual = await readTensor(gpu, dx);
  for (let row = 0; row < rows; row++) {
    // |dy| <= 1 and |y . dy| <= |dy| <= sqrt(columns), both divided by the length.
    const length = Math.max(expected.norms[row]!, 1e-12);
    const atol = 4 * relative * Math.sqrt(columns) / length;
    const [start, end] = [row * columns, (row + 1) * columns];
    assertClose(actual.subarray(start, end), backward.subarray(start, end), { atol, rtol: 0 });
  }
}

// 8 rows a workgroup, 8 lanes of 4 columns a row: below, at and past both.
for (
  const [rows, columns] of [[1, 4], [7, 8], [8, 32], [9, 36], [64, 256], [65, 388], [5, 4096]]
) {
  gpuTest(
    `normalise() and normaliseBackward() match the oracle at (${rows}, ${columns})`,
    (gpu) => check(gpu, uniform(rows! * columns!, 1), columns!),
  );
}

gpuTest("normalise() and normaliseBackward() match the oracle at any length", async (gpu) => {
  // Long, ordinary, short, shorter than 1e-12, so short that squares underflow, and zero.
  const lengths = [1e15, 1, 1e-8, 1e-11, 1e-13, 1e-25, 0];
  const rows = lengths.flatMap((length) => [...uniform(36, 1)].map((x) => x * length));
  await check(gpu, Float32Array.from(rows), 36);
});

gpuTest("normalise() writes nothing past the last row", async (gpu) => {
  const x = uploadTensor(gpu, uniform(12, 1), [3, 4]);
  const norms = guarded(gpu, [3], "f32");
  const y = createTensor(gpu, [3, 4]);
  await runOnce(gpu, (plan) => normalise(plan, { x, y, norms: norms.view }));
  await norms.check();
});

gpuTest("normalise() and normaliseBackward() fold a grid of more than 32768 workgroups", (gpu) => {
  return check(gpu, uniform(4 * (8 * 32768 + 9), 1).map((x) => x + 2), 4);
});

Deno.test("normaliseBackwardCpu() is the derivative of normaliseCpu()", () => {
  const x = uniform(24, 1);
  const dy = uniform(24, 2);
  const { y, norms } = normaliseCpu(x, 8);
  assertClose(
    normaliseBackwardCpu(dy, y, norms),
    centralGradient((x) => dot(dy, normaliseCpu(x, 8).y), x),
    { atol: 1e-9, rtol: 1e-6 }, // truncation step^2, rounding 2^-53 * |loss| / step
  );
  const short = uniform(8, 3).map((x) => 1e-14 * x);
  const clamped = normaliseCpu(short, 8);
  assertClose(
    normaliseBackwardCpu(dy.subarray(0, 8), clamped.y, clamped.norms),
    centralGradient((x) => dot(dy.subarray(0, 8), normaliseCpu(x, 8).y), short, 1e-15),
    { atol: 0, rtol: 1e-6 }, // linear
  );
});

gpuTest("normalise() and normaliseBackward() refuse tensors that do not fit", async (gpu) => {
  const plan = new Plan(gpu);
  const x = createTensor(gpu, [2, 8]);
  const norms = createTensor(gpu, [2]);
  assert.throws(
    () => normalise(plan, { x, y: createTensor(gpu, [2, 8]), norms: createTensor(gpu, [8]) }),
    new RangeError("Cannot run normalise: norms is (8) f32, it must be (2) f32"),
  );
  assert.throws(
    () => normalise(plan, { x: createTensor(gpu, [2, 8], "f16"), y: x, norms }),
    new TypeError("Cannot run normalise: x is (2,8) f16, it must be (2,8) f32"),
  );
  assert.throws(
    () => normaliseBackward(plan, { dy: x, y: x, norms, dx: createTensor(gpu, [2, 4]) }),
    new RangeError("Cannot run normalise_backward: dx is (2,4) f32, it must be (2,8) f32"),
  );
  await plan.ready();
});
