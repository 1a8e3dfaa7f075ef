import assert from "node:assert/strict";
import { matrixCase } from "../../bench/ceilings.ts";
import { gemmCases } from "../../bench/gemm_cases.ts";
import { boundOf } from "../../bench/kernels_bench.ts";
import { attentionCases, rowCases } from "../../bench/layer_cases.ts";
import { infoNceCase, lossCases } from "../../bench/loss_cases.ts";
import { type KernelCase, timeCases } from "../../bench/measure.ts";
import { Room } from "../../bench/room.ts";
import type { Gpu } from "../../kernels/gpu.ts";
import { modelConfig } from "../../model/config.ts";
import { withMatrices } from "../kernels/matrix_units.ts";
import { gpuTest } from "../testing.ts";

/** Checks must fail on results that were never computed, and pass on those that were. */
async function checkCases(
  gpu: Gpu,
  casesOf: (room: Room) => KernelCase[],
): Promise<Map<string, { flops: number; bytes: number }>> {
  const room = new Room(gpu);
  const before = gpu.memory.current;
  const cases = casesOf(room);
  for (const { name, check } of cases) {
    await assert.rejects(check(), RangeError, `the check of ${name} sees nothing`);
  }
  const times = await timeCases(gpu, cases, 1);
  room.destroy();
  assert.equal(gpu.memory.current, before);
  return new Map(times.map((time) => [time.name, time]));
}

for (const precision of ["f32", "f16"] as const) {
  gpuTest({
    name: `cases of a model are checked and timed in ${precision}`,
    needs: [precision, "timestamps"],
  }, async (gpu) => {
    const options = { config: modelConfig("vits16"), precision, size: 32, images: 3, rank: 8 };
    const times = await checkCases(gpu, (room) => [
      ...gemmCases(gpu, room, options),
      ...attentionCases(room, options),
      ...rowCases(room, options),
    ]);
    const rows = 3 * (4 + 5); // images of 2 × 2 patches, class token and 4 registers
    assert.equal(times.get("gemm qkv")!.flops, 2 * rows * 1152 * 384);
    assert.equal(times.get("gemm qkv + LoRA")!.flops, 2 * rows * 1152 * (384 + 8));
    const bytes = precision === "f16" ? 2 : 4;
    // Adapters are f32, and so are weights that they are merged into.
    assert.equal(times.get("gemm lora_A")!.bytes, rows * (384 + 8) * bytes + 8 * 384 * 4);
    assert.equal(
      times.get("gemm merge of fc1")!.bytes,
      1536 * 384 * (4 + bytes) + 8 * (1536 + 384) * 4 + 384 * 4,
    );
    assert.equal(
      times.get("gemm qkv, merged")?.bytes,
      precision === "f16" ? rows * (1152 + 384) * 2 + 1152 * 384 * 4 : undefined,
    );
    // Stream, weight, bias and statistics are f32.
    assert.equal(
      times.get("layer_norm")!.bytes,
      rows * 384 * (4 + bytes) + 2 * 384 * 4 + rows * 2 * 4,
    );
  });
}

gpuTest({
  name: "cases of loss and optimiser are checked and timed",
  needs: ["timestamps"],
}, async (gpu) => {
  const times = await checkCases(gpu, (room) => lossCases(room, 8));
  assert.equal(times.get("info_nce of 8 pairs: info_nce_lse")!.flops, 2 * 2 * 8 * 8 * 256);
});

gpuTest({
  name: "a loss too large for its oracle is checked too",
  needs: ["timestamps"],
}, async (gpu) => {
  await checkCases(gpu, (room) => [infoNceCase(room, 1025)]);
});

Deno.test("boundOf() names the ceiling that takes longer", () => {
  const ceilings = { fma: { f32: 100 }, matrix: null, copy: 10 }; // GFLOP/s, GB/s
  const [much, little] = [{ flops: 1e9, bytes: 1e6 }, { flops: 1e9, bytes: 1e9 }];
  assert.deepEqual(boundOf(much, "f32", ceilings), { by: "fma", ms: 10 });
  assert.deepEqual(boundOf(much, "f16", ceilings), { by: "fma", ms: 10 });
  assert.deepEqual(boundOf(little, "f32", ceilings), { by: "copy", ms: 100 });
  const units = { ...ceilings, matrix: 1000 };
  assert.deepEqual(boundOf(much, "f32", units), { by: "fma", ms: 10 });
  assert.deepEqual(boundOf(much, "f16", units), { by: "matrix", ms: 1 });
  assert.deepEqual(boundOf(little, "f16", units), { by: "copy", ms: 100 });
});

gpuTest({
  name: "the ceiling of matrix units is checked and timed",
  needs: ["timestamps"],
}, async (gpu) => {
  const units = withMatrices(gpu);
  const room = new Room(units);
  const test = matrixCase(room, { count: 4, groups: 2 });
  await assert.rejects(test.check(), /^RangeError: sum 0 is 0, not 4096$/);
  const [time] = await timeCases(units, [test], 1);
  assert.equal(time!.flops, (2 * 4) * (4 * 512) * 2 * 16 ** 3);
  room.destroy();
});
