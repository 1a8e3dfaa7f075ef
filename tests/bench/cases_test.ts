import assert from "node:assert/strict";
import { gemmCases } from "../../bench/gemm_cases.ts";
import { boundOf } from "../../bench/kernels_bench.ts";
import { attentionCases, rowCases } from "../../bench/layer_cases.ts";
import { infoNceCase, lossCases } from "../../bench/loss_cases.ts";
import { type KernelCase, timeCases } from "../../bench/measure.ts";
import { Room } from "../../bench/room.ts";
import type { Gpu } from "../../kernels/gpu.ts";
import { modelConfig } from "../../model/config.ts";
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
    const bytes = precision === "f16" ? 2 : 4; // f32 stream, weight, bias and statistics
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
  const ceilings = { fma: { f32: 100 }, copy: 10 }; // GFLOP/s, GB/s
  assert.deepEqual(boundOf({ flops: 1e9, bytes: 1e6 }, ceilings), { by: "fma", ms: 10 });
  assert.deepEqual(boundOf({ flops: 1e9, bytes: 1e9 }, ceilings), { by: "copy", ms: 100 });
});
