import assert from "node:assert/strict";
import { type Activation, gemm, type GemmForm } from "../../kernels/gemm.ts";
import { defaultLayout, GEMM_LAYOUTS, type GemmLayout } from "../../kernels/gemm_layout.ts";
import { type CpuGemm, gemmCpu } from "../../kernels/gemm_cpu.ts";
import { createTensor, type DType, type Gpu, readTensor, uploadTensor } from "../../kernels/gpu.ts";
import { runOnce } from "../../kernels/plan.ts";
import { assertClose, gpuTest, uniform } from "../testing.ts";

/** One case: operands of this size, and the parts of the epilogue that are on. */
interface Case {
  form: GemmForm;
  m: number;
  n: number;
  k: number;
  k2?: number;
  rate?: number;
  scale?: number;
  bias?: boolean;
  act?: Activation;
  actGrad?: Activation;
  residual?: boolean;
  accumulate?: boolean;
  /** Parts that there is room for. */
  splits?: number;
  dtype?: DType;
}

const SITE = { seed: 7, step: 3, stream: 11, first: 1000 };
const SCALE2 = 2;

// f32 sums of k products of values in [-1, 1): each of the k + 2 roundings is at most 2^-24 of a
// partial sum, which is at most k; random signs keep it near sqrt(k), so k * 2^-24 has room.
// f16 storage rounds the result once more, by 2^-11 of its size; its operands are exact.
const tolerance = ({ k, k2 = 0, dtype = "f32" }: Case) => {
  const depth = k + SCALE2 * k2 + 4;
  const atol = depth * 2 ** -23;
  return dtype === "f16" ? { atol: atol + 2 ** -24, rtol: 2 ** -11 } : { atol, rtol: 2 ** -20 };
};

async function check(gpu: Gpu, test: Case, layout: GemmLayout): Promise<void> {
  const { form, m, n, k, k2 = 0, rate = 0, dtype = "f32" } = test;
  // f16 operands are made exact, so that the oracle sees what the kernel sees.
  const exact = (values: Float32Array<ArrayBuffer>) =>
    dtype === "f16" ? new Float32Array(new Float16Array(values)) : values;
  const values = (size: number, seed: number) => exact(uniform(size, seed));
  const put = (data: Float32Array, shape: number[], type = dtype) =>
    uploadTensor(gpu, data, shape, type);
  const shapes = (depth: number) => ({
    a: form === "tn" ? [depth, m] : [m, depth],
    b: form === "nt" ? [n, depth] : [depth, n],
  });
  const a = values(m * k, 1);
  const b = values(n * k, 2);
  const a2 = values(m * k2, 3);
  const b2 = values(n * k2, 4);
  const bias = uniform(n, 5);
  const gamma = uniform(n, 6);
  const extra = values(m * n, 8);
  const start = values(m * n, 9);
  const cpu: CpuGemm = { form, m, n };
  if (k > 0) cpu.first = { a, b, k };
  if (k2 > 0) {
    cpu.second = { a: a2, b: b2, k: k2, scale: SCALE2 };
    if (rate > 0) cpu.second.dropout = { rate, ...SITE };
  }
  if (test.scale !== undefined) cpu.scale = test.scale;
  if (test.bias) cpu.bias = bias;
  if (test.act) cpu.act = test.act;
  if (test.actGrad) cpu.actGrad = { act: test.actGrad, pre: extra };
  if (test.residual) cpu.residual = { x: extra, gamma };
  if (test.accumulate) cpu.start = start;
  const expected = gemmCpu(cpu);

  const c = put(start, [m, n]);
  const pre = test.act ? createTensor(gpu, [m, n], dtype) : null;
  const site = uploadTensor(gpu, new Uint32Array(Object.values(SITE)), [4], "u32");
  const extraTensor = put(extra, [m, n]);
  await runOnce(gpu, (plan) =>
    gemm(plan, {
      form,
      c,
      pre,
      layout,
      accumulate: test.accumulate ?? false,
      scale: test.scale ?? 1,
      workspace: test.splits ? createTensor(gpu, [test.splits, m, n]) : null,
      bias: test.bias ? put(bias, [n], "f32") : null,
      ...(k > 0 ? { a: put(a, shapes(k).a), b: put(b, shapes(k).b) } : {}),
      ...(k2 > 0
        ? {
          second: {
            a: put(a2, shapes(k2).a),
            b: put(b2, shapes(k2).b),
            scale: SCALE2,
            dropout: rate > 0 ? { rate, site } : null,
          },
        }
        : {}),
      ...(test.act ? { act: test.act } : {}),
      ...(test.actGrad ? { actGrad: { act: test.actGrad, pre: extraTensor } } : {}),
      ...(test.residual ? { residual: { x: extraTensor, gamma: put(gamma, [n], "f32") } } : {}),
    }));
  assertClose(await readTensor(gpu, c), expected.c, tolerance(test));
  if (pre) assertClose(await readTensor(gpu, pre), expected.pre, tolerance(test));
}

const name = (test: Case) =>
  Object.entries(test).map(([key, value]) => value === true ? key : `${key} ${value}`).join(", ");

// Tiles are 32 or 64 to 128 wide, slices 16 deep: below, at and past each edge, one row, odd rows
// and depths.
const sizes = [
  ...[[1, 4, 4], [31, 28, 20], [32, 32, 16], [33, 36, 36], [64, 64, 64], [65, 68, 12]],
  ...[[130, 8, 100], [129, 132, 36]],
] as const;
const shapes: Case[] = [
  ...sizes.flatMap(([m, n, k]) => [
    { form: "nt", m, n, k } as Case,
    { form: "nn", m, n, k } as Case,
  ]),
  ...[[4, 4, 1], [32, 32, 3], [36, 28, 65], [64, 68, 64], [128, 8, 29]]
    .map(([m, n, k]) => ({ form: "tn", m, n, k } as Case)),
];
const epilogues: Case[] = [
  { form: "nt", m: 37, n: 40, k: 24, k2: 8 },
  { form: "nn", m: 37, n: 40, k: 24, k2: 20 },
  { form: "nn", m: 37, n: 40, k: 24, k2: 8, rate: 0.1 },
  { form: "nn", m: 66, n: 40, k: 0, k2: 8, rate: 0.5, actGrad: "relu" },
  { form: "nt", m: 37, n: 40, k: 24, k2: 8, bias: true, act: "gelu", scale: 0.5 },
  { form: "nt", m: 5, n: 8, k: 12, bias: true, act: "relu" },
  { form: "nn", m: 37, n: 40, k: 24, k2: 8, actGrad: "gelu" },
  { form: "nt", m: 37, n: 40, k: 24, k2: 8, bias: true, residual: true },
  { form: "tn", m: 36, n: 40, k: 27, scale: 2, accumulate: true },
  { form: "tn", m: 36, n: 40, k: 300, scale: 2, accumulate: true, splits: 9 }, // 5 parts, one short
  { form: "tn", m: 68, n: 4, k: 257, splits: 3 },
];
const cases = [
  ...shapes,
  ...epilogues,
  ...epilogues.map((test) => ({ ...test, dtype: "f16" } as Case)),
];
const layouts = Object.keys(GEMM_LAYOUTS) as GemmLayout[];
for (const layout of layouts) {
  gpuTest(`gemm() matches the oracle on ${cases.length} cases, layout ${layout}`, async (gpu) => {
    if (layout.startsWith("subgroup") && gpu.subgroupSize !== 8) return; // made for 8 lanes only
    for (const test of cases) {
      if (test.dtype === "f16" && !gpu.hasF16) continue;
      try {
        await check(gpu, test, layout);
      } catch (cause) {
        throw new Error(`${name(test)}: ${(cause as Error).message}`, { cause });
      }
    }
  });
}

gpuTest("gemm() gives the same bits in every layout of an adapter", async (gpu) => {
  const [m, n, k] = [133, 140, 200];
  const operand = (rows: number, columns: number, seed: number) =>
    uploadTensor(gpu, uniform(rows * columns, seed), [rows, columns]);
  for (const kind of ["subgroup", "tile"]) {
    if (kind === "subgroup" && gpu.subgroupSize !== 8) continue;
    const results: Float32Array[] = [];
    for (const layout of layouts.filter((name) => name.startsWith(kind))) {
      const c = createTensor(gpu, [m, n]);
      const second = { a: operand(m, 12, 3), b: operand(n, 12, 4), scale: SCALE2 };
      await runOnce(gpu, (plan) =>
        gemm(plan, {
          ...{ form: "nt", a: operand(m, k, 1), b: operand(n, k, 2), c, second, layout },
        }));
      results.push(await readTensor(gpu, c));
    }
    assert(results[0]!.every(Number.isFinite));
    for (const result of results) assert.deepEqual(result, results[0]);
  }
});

Deno.test("defaultLayout() widens the workgroup where that pays", () => {
  const eight = { isCpu: true, subgroupSize: 8 } as Gpu;
  const [narrow, wide] = ["subgroup 32x32", "subgroup 32x64"];
  const layout = (m: number, n: number, k: number) => defaultLayout(eight, { m, n, k });
  const widths = [32, 36, 64, 68, 96, 100, 384, 416].map((n) => [n, layout(1e4, n, 1e4)]);
  assert.deepEqual(widths, [
    ...[[32, narrow], [36, wide], [64, wide], [68, narrow]],
    ...[[96, narrow], [100, wide], [384, wide], [416, wide]],
  ]);
  assert.deepEqual([layout(1000, 100, 999), layout(1000, 100, 1000)], [narrow, wide]);
  const gpu = { isCpu: false, subgroupSize: 32 } as Gpu;
  assert.equal(defaultLayout(gpu, { m: 1e4, n: 384, k: 1e4 }), "tile 64x64");
});

gpuTest("gemm() refuses shapes that do not fit", async (gpu) => {
  const t = (...shape: number[]) => createTensor(gpu, shape);
  const refuse = (record: Parameters<typeof gemm>[1], message: RegExp) =>
    assert.rejects(runOnce(gpu, (plan) => gemm(plan, record)), message);
  await refuse(
    { form: "nt", a: t(3, 8), b: t(4, 12), c: t(3, 4) },
    /^RangeError: Cannot compute gemm \(nt\): b is \(4,12\), c is \(3,4\), it must be \(4,8\)$/,
  );
  await refuse(
    { form: "nt", a: t(3, 8), b: t(6, 8), c: t(3, 6) },
    /N must be a multiple of 4: current value is 6/,
  );
  await refuse({ form: "nn", c: t(4, 4) }, /there is no operand/);
});
