import assert from "node:assert/strict";
import { matrixCase, measureCeilings } from "../../bench/ceilings.ts";
import { gemmCases } from "../../bench/gemm_cases.ts";
import { boundOf } from "../../bench/kernels_bench.ts";
import { attentionCases, rowCases } from "../../bench/layer_cases.ts";
import { infoNceCase, lossCases } from "../../bench/loss_cases.ts";
import { type KernelCase, timeCases } from "../../bench/measure.ts";
import { Report } from "../../bench/report.ts";
import { Room } from "../../bench/room.ts";
import type { Gpu } from "../../kernels/gpu.ts";
import { Plan } from "../../kernels/plan.ts";
import { modelConfig } from "../../model/config.ts";
import { FRAGMENT, withMatrices } from "../kernels/matrix_units.ts";
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
    assert.equal(times.get("gemm d h of qkv")!.bytes, rows * (1152 + 8) * bytes + 1152 * 8 * 4);
    assert.equal(
      times.get("gemm merge of fc1")!.bytes,
      1536 * 384 * (4 + bytes) + 8 * (1536 + 384) * 4 + 384 * 4,
    );
    for (const name of ["gemm qkv, merged", "gemm d qkv, merged"]) {
      const wanted = precision === "f16" ? rows * (1152 + 384) * 2 + 1152 * 384 * 4 : undefined;
      assert.equal(times.get(name)?.bytes, wanted);
    }
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
  const ceilings = { fma: { f32: 100 }, copy: 10 }; // GFLOP/s, GB/s
  const [much, little] = [{ flops: 1e9, bytes: 1e6 }, { flops: 1e9, bytes: 1e9 }];
  const bound = (work: typeof much, isHalf: boolean, matrix: number | null = null) =>
    boundOf({ ...work, isHalf }, { ...ceilings, matrix });
  assert.deepEqual(bound(much, false), { by: "fma", ms: 10 });
  assert.deepEqual(bound(much, true), { by: "fma", ms: 10 });
  assert.deepEqual(bound(little, false), { by: "copy", ms: 100 });
  assert.deepEqual(bound(much, false, 1000), { by: "fma", ms: 10 });
  assert.deepEqual(bound(much, true, 1000), { by: "matrix", ms: 1 });
  assert.deepEqual(bound(little, true, 1000), { by: "copy", ms: 100 });
});

gpuTest({
  name: "measureCeilings() takes the best of each kind, on matrix units too",
  needs: ["timestamps"],
}, async (gpu) => {
  const units = withMatrices(gpu);
  const room = new Room(units);
  await assert.rejects(matrixCase(units, room, 4).check(), /^RangeError: sum 0 is 0, not \d+$/);
  room.destroy();
  const report = new Report(units, () => {});
  const { fma, matrix, copy } = await measureCeilings(units, report, 1);
  const rows = report.rows("ceilings") as { kernel: string; [column: string]: string | number }[];
  const most = (kind: RegExp, column: string) =>
    Math.max(...rows.filter(({ kernel }) => kind.test(kernel)).map((row) => Number(row[column])));
  assert.equal(fma.f32, most(/^fma f32, \d+ × (scalar|vec4)$/, "GFLOP/s"));
  assert.equal(fma.f16 ?? -Infinity, most(/^fma f16, \d+ × (scalar|vec4)$/, "GFLOP/s"));
  assert.equal(matrix, most(/^fma f16, matrix units, /, "GFLOP/s"));
  assert.equal(copy, most(/^copy$/, "GB/s"));
  assert(matrix! > 0 && fma.f32! > 0 && copy > 0);
  const { "min ms": ms, "GFLOP/s": rate } = rows.find(({ kernel }) => /4 × 16x16/.test(kernel))!;
  const subgroups = gpu.isCpu ? 2 * 4 : 8192 * 4;
  const flops = subgroups * 4 * (gpu.isCpu ? 16 : 512) * 2 * 16 ** 3;
  assert(Math.abs(Number(rate) * Number(ms) * 1e6 / flops - 1) < 1e-9);
});

gpuTest({
  name: "cases say which products matrix units take",
  needs: ["f16"],
}, async (gpu) => {
  const options = { config: modelConfig("vits16"), size: 32, images: 1, rank: 8 };
  for (const precision of ["f32", "f16"] as const) {
    const units = withMatrices(gpu);
    const room = new Room(units);
    const cases = [
      ...gemmCases(units, room, { ...options, precision }),
      ...attentionCases(room, { ...options, precision }),
    ];
    const half: string[] = [];
    for (const { name, record, isHalf } of cases) {
      units.pipelines.clear();
      const plan = new Plan(units);
      record(plan);
      await plan.ready();
      const takes = units.pipelines.keys().some((source) => source.includes(FRAGMENT));
      assert.equal(isHalf, takes, `${name} in ${precision}`);
      if (takes) half.push(name);
    }
    room.destroy();
    assert.equal(half.length, precision === "f32" ? 0 : cases.length - 3, half.join());
  }
});
