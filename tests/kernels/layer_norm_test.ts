import assert from "node:assert/strict";
import { createTensor, type DType, type Gpu, readTensor, uploadTensor } from "../../kernels/gpu.ts";
import { layerNorm, layerNormBackward } from "../../kernels/layer_norm.ts";
import { layerNormBackwardCpu, layerNormCpu } from "../../kernels/layer_norm_cpu.ts";
import { Plan, runOnce } from "../../kernels/plan.ts";
import { assertClose, gpuTest, type Tolerance, uniform } from "../testing.ts";
import { centralGradient, dot } from "./central.ts";
import { guarded } from "./guarded.ts";

// 8 rows a workgroup, 8 lanes of 4 columns a row: below, at and past both.
const SHAPES = [[1, 4], [7, 8], [8, 32], [9, 36], [29, 384], [64, 388], [65, 768], [5, 4096], [
  2088,
  384,
]];
const DTYPES = ["f32", "f16"] as const;

/**
 * Errors of a normalised row in f32. A sum of C terms goes through C / 32 additions of vec4s in a
 * lane, 2 in a vec4 and 3 in the tree, so means err by (C / 32 + 5) * 2^-24 of the largest term;
 * three means and a few roundings feed each output, whose size is `scale`. f16 rounds at the end.
 */
function tolerance(columns: number, scale: number, dtype: DType): Tolerance {
  const f32 = (3 * (columns / 32 + 5) + 8) * 2 ** -24 * scale;
  return { atol: f32 + (dtype === "f16" ? 2 ** -25 : 0), rtol: dtype === "f16" ? 2 ** -11 : 0 };
}

const largest = (values: ArrayLike<number>) =>
  Array.from(values).reduce((max, x) => Math.max(max, Math.abs(x)), 0);

interface Case {
  rows: number;
  columns: number;
  dtype: DType;
  /** Type of the residual stream, where it differs. */
  stream?: DType;
}

async function forward(
  gpu: Gpu,
  values: Float32Array,
  { rows, columns, dtype, stream = dtype }: Case,
) {
  const x = uploadTensor(gpu, values, [rows, columns], stream);
  const weight = uploadTensor(gpu, uniform(columns, 2), [columns]);
  const bias = uploadTensor(gpu, uniform(columns, 3), [columns]);
  const y = createTensor(gpu, [rows, columns], dtype);
  const stats = createTensor(gpu, [rows, 2]);
  await runOnce(gpu, (plan) => layerNorm(plan, { x, weight, bias, y, stats }));
  return { x, weight, bias, y, stats };
}

async function checkForward(gpu: Gpu, values: Float32Array, input: Case): Promise<void> {
  const { x, weight, bias, y, stats } = await forward(gpu, values, input);
  const stored = await readTensor(gpu, x); // as rounded to f16
  const expected = layerNormCpu(
    stored,
    await readTensor(gpu, weight),
    await readTensor(gpu, bias),
  );
  // x enters relative to the deviation: |x| * rstd is the size of what is subtracted.
  const rstds = expected.stats.filter((_, i) => i % 2 === 1);
  const scale = largest(stored) * largest(rstds) + 1;
  assertClose(await readTensor(gpu, y), expected.y, tolerance(input.columns, scale, input.dtype));
  const { atol } = tolerance(input.columns, scale, "f32");
  const actual = await readTensor(gpu, stats);
  for (let row = 0; row < input.rows; row++) {
    const [mean, rstd] = expected.stats.subarray(2 * row);
    assertClose([actual[2 * row]! * rstd!], [mean! * rstd!], { atol, rtol: 0 });
    assertClose([actual[2 * row + 1]!], [rstd!], { atol: 0, rtol: atol });
  }
}

for (const dtype of DTYPES) {
  for (const [rows, columns] of SHAPES as [number, number][]) {
    gpuTest({
      name: `layerNorm() matches the oracle at (${rows}, ${columns}) in ${dtype}`,
      needs: [dtype],
    }, async (gpu) => {
      await checkForward(gpu, uniform(rows * columns, 1), { rows, columns, dtype });
    });
  }

  gpuTest({
    name: `layerNorm() keeps the variance of rows far from 0 in ${dtype}`,
    needs: [dtype],
  }, async (gpu) => {
    const values = uniform(9 * 384, 1).map((x, i) => 100 * (i % 9 - 4) + x);
    const shifted = uniform(9 * 384, 1).map((x) => 100 + x);
    await checkForward(gpu, values, { rows: 9, columns: 384, dtype });
    await checkForward(gpu, shifted, { rows: 9, columns: 384, dtype });
  });
}

gpuTest("layerNorm() gives the bias when all columns are equal", async (gpu) => {
  const { y, bias } = await forward(gpu, new Float32Array(3 * 384).fill(2), {
    rows: 3,
    columns: 384,
    dtype: "f32",
  });
  const wanted = await readTensor(gpu, bias);
  // WGSL divides within 2.5 ULP, here of a mean of 2. The variance with 1e-5 is that, weights are
  // below 1.
  const atol = 2.5 * 2 ** -22 / Math.sqrt(1e-5);
  assertClose(await readTensor(gpu, y), [...wanted, ...wanted, ...wanted], { atol, rtol: 0 });
});

gpuTest("layerNorm() without stats gives the same rows, to the rounding", async (gpu) => {
  const input = { rows: 9, columns: 36, dtype: "f32" } as const;
  const { x, weight, bias, y } = await forward(gpu, uniform(9 * 36, 1), input);
  const again = createTensor(gpu, [9, 36]);
  await runOnce(gpu, (plan) => layerNorm(plan, { x, weight, bias, y: again, stats: null }));
  // Another kernel to a compiler, which may fuse other multiplications and additions: rows are as
  // far from each other as two that are each as near the oracle as they must be. Values below 1 whose
  // deviation is 0.58 have a scale below 3.
  const { atol, rtol } = tolerance(36, 3, "f32");
  const twice = { atol: 2 * atol, rtol: 2 * rtol };
  assertClose(await readTensor(gpu, again), await readTensor(gpu, y), twice);
});

gpuTest({
  name: "layerNorm() and layerNormBackward() write nothing past the last row",
  needs: ["f16"],
}, async (gpu) => {
  const x = uploadTensor(gpu, uniform(12, 1), [3, 4], "f16");
  const weight = uploadTensor(gpu, uniform(4, 2), [4]);
  const [y, dx, scaled] = [0, 1, 2].map(() => guarded(gpu, [3, 4], "f16"));
  const stats = guarded(gpu, [3, 2], "f32");
  await runOnce(gpu, (plan) => {
    layerNorm(plan, { x, weight, bias: weight, y: y!.view, stats: stats.view });
    layerNormBackward(plan, {
      dy: x,
      x,
      weight,
      stats: stats.view,
      residual: null,
      dx: dx!.view,
      scale: weight,
      scaled: scaled!.view,
    });
  });
  for (const tensor of [y, dx, scaled, stats]) await tensor!.check();
});

gpuTest("layerNorm() folds a grid of more than 32768 workgroups", async (gpu) => {
  const rows = 8 * 32768 + 9;
  await checkForward(gpu, uniform(rows * 4, 1), { rows, columns: 4, dtype: "f32" });
});

async function checkBackward(
  gpu: Gpu,
  { rows, columns, dtype, stream = dtype }: Case,
  { residual: beside, scale: below }: { residual: boolean; scale: boolean },
): Promise<void> {
  const shape = [rows, columns];
  const size = rows * columns;
  const { x, weight, stats } = await forward(gpu, uniform(size, 1), {
    rows,
    columns,
    dtype,
    stream,
  });
  const dy = uploadTensor(gpu, uniform(size, 4), shape, dtype);
  const residual = beside ? uploadTensor(gpu, uniform(size, 5), shape, stream) : null;
  const scale = below ? uploadTensor(gpu, uniform(columns, 6), [columns]) : null;
  const scaled = below ? createTensor(gpu, shape, dtype) : null;
  const dx = createTensor(gpu, shape, stream);
  await runOnce(gpu, (plan) => {
    layerNormBackward(plan, { dy, x, weight, stats, residual, dx, scale, scaled });
  });
  const cpu = {
    dy: await readTensor(gpu, dy),
    x: await readTensor(gpu, x),
    weight: await readTensor(gpu, weight),
    stats: await readTensor(gpu, stats),
    residual: residual ? await readTensor(gpu, residual) : null,
  };
  const expected = layerNormBackwardCpu(cpu);
  // |t| <= 1 and |normal| <= its largest; dx is rstd times their combination, plus the residual.
  const rstd = largest(cpu.stats.filter((_, i) => i % 2 === 1));
  const normal = 2 * rstd; // |x - mean| <= 2
  const most = rstd * (1 + normal * normal) + 1;
  assertClose(await readTensor(gpu, dx), expected, tolerance(columns, most, stream));
  if (scale && scaled) {
    const factors = await readTensor(gpu, scale);
    const wanted = expected.map((value, i) => value * factors[i % columns]!);
    assertClose(await readTensor(gpu, scaled), wanted, tolerance(columns, most, dtype));
  }
}

for (const dtype of DTYPES) {
  for (const [rows, columns] of SHAPES as [number, number][]) {
    gpuTest({
      name: `layerNormBackward() matches the oracle at (${rows}, ${columns}) in ${dtype}`,
      needs: [dtype],
    }, async (gpu) => {
      await checkBackward(gpu, { rows, columns, dtype }, { residual: true, scale: true });
    });
  }
}

gpuTest({
  name: "layerNorm() and its backward work with an f32 stream and f16 activations",
  needs: ["f16"],
}, async (gpu) => {
  const input = { rows: 29, columns: 384, dtype: "f16", stream: "f32" } as const;
  await checkForward(gpu, uniform(29 * 384, 1), input);
  await checkBackward(gpu, input, { residual: true, scale: true });
});

for (const residual of [false, true]) {
  for (const scale of [false, true]) {
    gpuTest(
      `layerNormBackward() works ${residual ? "with" : "without"} residual, ` +
        `${scale ? "with" : "without"} scale`,
      (gpu) => checkBackward(gpu, { rows: 9, columns: 36, dtype: "f32" }, { residual, scale }),
    );
  }
}

Deno.test("layerNormBackwardCpu() is the derivative of layerNormCpu()", () => {
  const [rows, columns] = [3, 8];
  const x = uniform(rows * columns, 1);
  const weight = uniform(columns, 2);
  const bias = uniform(columns, 3);
  const dy = uniform(rows * columns, 4);
  const { stats } = layerNormCpu(x, weight, bias);
  // Rounding: 2^-53 * |loss| / step, truncation: step^2 * third derivative, a few.
  assertClose(
    layerNormBackwardCpu({ dy, x, weight, stats }),
    centralGradient((x) => dot(dy, layerNormCpu(x, weight, bias).y), x),
    { atol: 1e-8, rtol: 1e-6 },
  );
});

gpuTest("layerNorm() and layerNormBackward() refuse tensors that do not fit", async (gpu) => {
  const plan = new Plan(gpu);
  const x = createTensor(gpu, [2, 8]);
  const weight = createTensor(gpu, [8]);
  const stats = createTensor(gpu, [2, 2]);
  const forward = { x, weight, bias: weight, y: createTensor(gpu, [2, 8]), stats };
  assert.throws(
    () => layerNorm(plan, { ...forward, x: createTensor(gpu, [2, 6]) }),
    new RangeError("Cannot run layer_norm: x is (2,6), its last dimension must be a multiple of 4"),
  );
  assert.throws(
    () => layerNorm(plan, { ...forward, y: createTensor(gpu, [1, 8]) }),
    new RangeError("Cannot run layer_norm: y is (1,8) f32, it must be (2,8) f32"),
  );
  assert.throws(
    () => layerNorm(plan, { ...forward, weight: createTensor(gpu, [8], "f16") }),
    new TypeError("Cannot run layer_norm: weight is (8) f16, it must be (8) f32"),
  );
  assert.throws(
    () => layerNorm(plan, { ...forward, stats: createTensor(gpu, [2]) }),
    new RangeError("Cannot run layer_norm: stats is (2) f32, it must be (2,2) f32"),
  );
  const backward = { dy: x, x, weight, stats, residual: null, dx: forward.y };
  assert.throws(
    () => layerNormBackward(plan, { ...backward, scale: weight, scaled: null }),
    new TypeError(
      "Cannot run layer_norm_backward: scale and scaled must both be given, or neither",
    ),
  );
  assert.throws(
    () => layerNormBackward(plan, { ...backward, residual: weight, scale: null, scaled: null }),
    new RangeError("Cannot run layer_norm_backward: residual is (8) f32, it must be (2,8) f32"),
  );
  await plan.ready();
});
