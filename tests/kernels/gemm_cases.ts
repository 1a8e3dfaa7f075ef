/**
 * Cases that every GEMM must pass, and the check of one.
 *
 * @module
 */
import { type Activation, gemm, type GemmForm } from "../../kernels/gemm.ts";
import type { GemmLayout } from "../../kernels/gemm_layout.ts";
import { type CpuGemm, gemmCpu } from "../../kernels/gemm_cpu.ts";
import { createTensor, type DType, type Gpu, readTensor, uploadTensor } from "../../kernels/gpu.ts";
import { runOnce } from "../../kernels/plan.ts";
import { assertClose, uniform } from "../testing.ts";

/** One case: operands of this size, and the parts of the epilogue that are on. */
export interface Case {
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
  /** `second.b`, LoRA's weights, is f32 whatever the others are. */
  f32Weights?: boolean;
}

const SITE = { seed: 7, step: 3, stream: 11, first: 1000 };
export const SCALE2 = 2;

// f32 sums of k products of values in [-1, 1): each of the k + 2 roundings is at most 2^-24 of a
// partial sum, which is at most k; random signs keep it near sqrt(k), so k * 2^-24 has room.
// f16 storage rounds the result once more, by 2^-11 of its size; its operands are exact.
// Matrix units round a weight in f32 to an f16 beside it, by up to 2^-10 of its size.
const tolerance = (test: Case, layout: GemmLayout) => {
  const { k, k2 = 0, dtype = "f32", rate = 0 } = test;
  const rounding = test.f32Weights && isMatrix(layout) ? SCALE2 * k2 * 2 ** -10 / (1 - rate) : 0;
  const atol = (k + SCALE2 * k2 + 4) * 2 ** -23 + rounding;
  return dtype === "f16" ? { atol: atol + 2 ** -24, rtol: 2 ** -11 } : { atol, rtol: 2 ** -20 };
};

const isMatrix = (layout: GemmLayout) => layout.startsWith("matrix");

async function check(gpu: Gpu, test: Case, layout: GemmLayout): Promise<void> {
  const { form, m, n, k, k2 = 0, rate = 0, dtype = "f32" } = test;
  const weightType = test.f32Weights ? "f32" : dtype;
  // Operands are made exact in f16 where that is what the kernel sees, so that the oracle sees it too.
  const isExact = dtype === "f16" || isMatrix(layout);
  const values = (size: number, seed: number) =>
    isExact ? new Float32Array(new Float16Array(uniform(size, seed))) : uniform(size, seed);
  const put = (data: Float32Array, shape: number[], type = dtype) =>
    uploadTensor(gpu, data, shape, type);
  const shapes = (depth: number) => ({
    a: form === "tn" ? [depth, m] : [m, depth],
    b: form === "nt" ? [n, depth] : [depth, n],
  });
  const a = values(m * k, 1);
  const b = values(n * k, 2);
  const a2 = values(m * k2, 3);
  const b2 = test.f32Weights ? uniform(n * k2, 4) : values(n * k2, 4);
  const bias = uniform(n, 5);
  const gamma = uniform(n, 6);
  const extra = values(m * n, 8);
  extra.set([0, -0]); // where ReLU has no slope
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
            b: put(b2, shapes(k2).b, weightType),
            scale: SCALE2,
            dropout: rate > 0 ? { rate, site } : null,
          },
        }
        : {}),
      ...(test.act ? { act: test.act } : {}),
      ...(test.actGrad ? { actGrad: { act: test.actGrad, pre: extraTensor } } : {}),
      ...(test.residual ? { residual: { x: extraTensor, gamma: put(gamma, [n], "f32") } } : {}),
    }));
  assertClose(await readTensor(gpu, c), expected.c, tolerance(test, layout));
  if (pre) assertClose(await readTensor(gpu, pre), expected.pre, tolerance(test, layout));
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

/** The cases by type of the operands. */
export const CASES: Record<"f32" | "f16", readonly Case[]> = {
  f32: [...shapes, ...epilogues],
  f16: [
    ...epilogues.map((test): Case => ({ ...test, dtype: "f16" })),
    { form: "nt", m: 37, n: 40, k: 24, k2: 8, dtype: "f16", f32Weights: true },
    { form: "nn", m: 66, n: 68, k: 0, k2: 20, rate: 0.5, dtype: "f16", f32Weights: true },
  ],
};

/** Compares a layout with the oracle on every case of this type. */
export async function checkCases(
  gpu: Gpu,
  layout: GemmLayout,
  dtype: "f32" | "f16",
): Promise<void> {
  for (const test of CASES[dtype]) {
    try {
      await check(gpu, test, layout);
    } catch (cause) {
      throw new Error(`${name(test)}: ${(cause as Error).message}`, { cause });
    }
  }
}
