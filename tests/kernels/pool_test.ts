import assert from "node:assert/strict";
import { createTensor, readTensor, uploadTensor, viewTensor } from "../../kernels/gpu.ts";
import { Plan, runOnce } from "../../kernels/plan.ts";
import { pool, poolBackward } from "../../kernels/pool.ts";
import { poolBackwardCpu, poolCpu } from "../../kernels/pool_cpu.ts";
import { assertClose, gpuTest, uniform } from "../testing.ts";
import { centralGradient, dot } from "./central.ts";
import { guarded } from "./guarded.ts";

// batch, tokens, columns: one patch and many, 64 vec4s a workgroup below, at and past it.
const SHAPES = [[1, 6, 4], [3, 9, 8], [2, 29, 128], [7, 201, 388], [5, 6, 4096]] as const;

for (const dtype of ["f32", "f16"] as const) {
  for (const mode of ["avg", "token"] as const) {
    for (const shape of SHAPES) {
      const [batch, tokens, columns] = shape;
      gpuTest({
        name: `pool() and poolBackward() match the oracle: ${mode}, (${shape}), ${dtype}`,
        needs: [dtype],
      }, async (gpu) => {
        const x = uploadTensor(gpu, uniform(batch * tokens * columns, 1), shape, dtype);
        const y = createTensor(gpu, [batch, columns]);
        const dy = uploadTensor(gpu, uniform(batch * columns, 2), [batch, columns]);
        // Not zero before: tokens outside the mean must be written too.
        const dx = uploadTensor(gpu, uniform(batch * tokens * columns, 3), shape, dtype);
        await runOnce(gpu, (plan) => {
          pool(plan, { x, y, mode, prefix: 5 });
          poolBackward(plan, { dy, dx, mode, prefix: 5 });
        });
        const sizes = { batch, tokens, columns, mode, prefix: 5 };
        // A mean of n terms below 1, added one by one: n * 2^-24.
        const mean = { atol: tokens * 2 ** -24, rtol: 0 };
        assertClose(await readTensor(gpu, y), poolCpu(await readTensor(gpu, x), sizes), mean);
        assertClose(
          await readTensor(gpu, dx),
          poolBackwardCpu(await readTensor(gpu, dy), sizes),
          // One division within 2.5 ulp (WGSL), one rounding to f16, which ends at 2^-24.
          dtype === "f16" ? { atol: 2 ** -25, rtol: 2 ** -10.9 } : { atol: 0, rtol: 2 ** -22 },
        );
      });
    }
  }
}

gpuTest("pool() without prefix tokens takes the mean of all", async (gpu) => {
  const x = uploadTensor(gpu, Float32Array.of(1, 2, 3, 4, 5, 6, 7, 8), [1, 2, 4]);
  const y = createTensor(gpu, [1, 4]);
  await runOnce(gpu, (plan) => pool(plan, { x, y, mode: "avg", prefix: 0 }));
  assert.deepEqual(await readTensor(gpu, y), Float32Array.of(3, 4, 5, 6));
});

gpuTest({
  name: "poolBackward() writes nothing past the last token",
  needs: ["f16"],
}, async (gpu) => {
  const dy = uploadTensor(gpu, uniform(4, 1), [1, 4]);
  const dx = guarded(gpu, [1, 7, 4], "f16");
  await runOnce(gpu, (plan) => poolBackward(plan, { dy, dx: dx.view, mode: "avg", prefix: 5 }));
  await dx.check();
});

gpuTest("pool() and poolBackward() fold a grid of more than 32768 workgroups", async (gpu) => {
  const batch = 64 * 32768 + 128; // of one vec4 each
  const values = uniform(batch * 4, 1);
  const x = uploadTensor(gpu, values, [batch, 1, 4]);
  const y = createTensor(gpu, [batch, 4]);
  const dx = createTensor(gpu, [batch, 1, 4]);
  await runOnce(gpu, (plan) => {
    pool(plan, { x, y, mode: "token", prefix: 0 });
    poolBackward(plan, { dy: y, dx, mode: "token", prefix: 0 });
  });
  const start = 4 * (batch - 128);
  for (const tensor of [y, dx]) {
    const rest = viewTensor(gpu, tensor, { start, shape: [512] });
    assert.deepEqual(await readTensor(gpu, rest), values.subarray(start));
  }
});

Deno.test("poolBackwardCpu() is the derivative of poolCpu()", () => {
  for (const mode of ["avg", "token"] as const) {
    const sizes = { batch: 2, tokens: 4, columns: 3, mode, prefix: 2 };
    const x = uniform(24, 1);
    const dy = uniform(6, 2);
    assertClose(
      poolBackwardCpu(dy, sizes),
      centralGradient((x) => dot(dy, poolCpu(x, sizes)), x),
      { atol: 1e-10, rtol: 1e-6 }, // linear: only rounding, 2^-53 / step
    );
  }
});

gpuTest("pool() and poolBackward() refuse tensors that do not fit", async (gpu) => {
  const plan = new Plan(gpu);
  const x = createTensor(gpu, [2, 6, 8]);
  const y = createTensor(gpu, [2, 8]);
  const mode = "avg";
  assert.throws(
    () => pool(plan, { x: y, y, mode, prefix: 5 }),
    new RangeError("Cannot run pool: x is (2,8), it must have 3 dimensions"),
  );
  assert.throws(
    () => pool(plan, { x, y: createTensor(gpu, [3, 8]), mode, prefix: 5 }),
    new RangeError("Cannot run pool: y is (3,8) f32, it must be (2,8) f32"),
  );
  assert.throws(
    () => poolBackward(plan, { dy: y, dx: x, mode, prefix: 6 }),
    new RangeError(
      "Cannot run pool_backward: dx is (2,6,8), there is no patch after 6 tokens",
    ),
  );
  await plan.ready();
});
