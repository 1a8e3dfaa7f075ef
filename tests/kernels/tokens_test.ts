import assert from "node:assert/strict";
import { createTensor, readTensor, uploadTensor, viewTensor } from "../../kernels/gpu.ts";
import { Plan, runOnce } from "../../kernels/plan.ts";
import { tokens } from "../../kernels/tokens.ts";
import { tokensCpu } from "../../kernels/tokens_cpu.ts";
import { assertClose, gpuTest, uniform } from "../testing.ts";
import { guarded } from "./guarded.ts";

// batch, patches, prefix, columns: 64 vec4s a workgroup below, at and past it.
const SHAPES = [[1, 1, 5, 4], [3, 4, 5, 8], [2, 3, 1, 128], [7, 24, 5, 388], [2, 9, 5, 4096]];

for (const [dtype, stream] of [["f32", "f32"], ["f16", "f16"], ["f16", "f32"]] as const) {
  for (const [batch, patches, prefixes, columns] of SHAPES as [number, number, number, number][]) {
    gpuTest({
      name:
        `tokens() matches the oracle at (${batch}, ${prefixes} + ${patches}, ${columns}) in ${dtype}, ${stream}`,
      needs: [dtype],
    }, async (gpu) => {
      const values = uniform(batch * patches * columns, 1);
      const rows = uploadTensor(gpu, values, [batch * patches, columns], dtype);
      const prefix = uploadTensor(gpu, uniform(prefixes * columns, 2), [prefixes, columns]);
      const x = createTensor(gpu, [batch, prefixes + patches, columns], stream);
      await runOnce(gpu, (plan) => tokens(plan, { patches: rows, prefix, x }));
      assertClose(
        await readTensor(gpu, x),
        tokensCpu(await readTensor(gpu, rows), await readTensor(gpu, prefix), batch),
        // A copy; the prefix is rounded to f16, which ends at 2^-24.
        stream === "f16" ? { atol: 2 ** -25, rtol: 2 ** -11 } : { atol: 0, rtol: 0 },
      );
    });
  }
}

gpuTest({ name: "tokens() writes nothing past the last token", needs: ["f16"] }, async (gpu) => {
  const patches = uploadTensor(gpu, uniform(8, 1), [2, 4], "f16");
  const prefix = uploadTensor(gpu, uniform(20, 2), [5, 4]);
  const x = guarded(gpu, [1, 7, 4], "f16");
  await runOnce(gpu, (plan) => tokens(plan, { patches, prefix, x: x.view }));
  await x.check();
});

gpuTest("tokens() folds a grid of more than 32768 workgroups", async (gpu) => {
  const batch = 32 * 32768 + 64; // of two vec4s each
  const values = uniform(batch * 4, 1);
  const patches = uploadTensor(gpu, values, [batch, 4]);
  const prefix = uploadTensor(gpu, uniform(4, 2), [1, 4]);
  const x = createTensor(gpu, [batch, 2, 4]);
  await runOnce(gpu, (plan) => tokens(plan, { patches, prefix, x }));
  const rest = viewTensor(gpu, x, { start: 8 * (batch - 64), shape: [512] });
  assertClose(
    await readTensor(gpu, rest),
    tokensCpu(values.subarray(-256), uniform(4, 2), 64),
    { atol: 0, rtol: 0 },
  );
});

gpuTest("tokens() refuses tensors that do not fit", async (gpu) => {
  const plan = new Plan(gpu);
  const prefix = createTensor(gpu, [5, 8]);
  const x = createTensor(gpu, [2, 9, 8]);
  assert.throws(
    () => tokens(plan, { patches: createTensor(gpu, [9, 8]), prefix, x }),
    new RangeError("Cannot run tokens: patches is (9,8) f32, it must be (8,8) f32"),
  );
  assert.throws(
    () => tokens(plan, { patches: x, prefix: createTensor(gpu, [5, 8], "f16"), x }),
    new TypeError("Cannot run tokens: prefix is (5,8) f16, it must be (5,8) f32"),
  );
  await plan.ready();
});
