import assert from "node:assert/strict";
import { createTensor, type Gpu, readTensor, uploadTensor } from "../../kernels/gpu.ts";
import { infoNce, type InfoNceInput } from "../../kernels/info_nce.ts";
import { type CpuInfoNce, infoNceCpu } from "../../kernels/info_nce_cpu.ts";
import { runOnce } from "../../kernels/plan.ts";
import { assertClose, gpuTest, uniform, unitRows } from "../testing.ts";
import { assertSameBits } from "./same_bits.ts";

const LOSS_SCALE = 1024;

function upload(gpu: Gpu, { query, reference, smoothing, logitScale }: CpuInfoNce): InfoNceInput {
  const n = smoothing.length;
  const shape = [n, query.length / n];
  const put = (values: ArrayLike<number>, shape: number[]) =>
    uploadTensor(gpu, Float32Array.from(values), shape);
  const stale = (shape: number[]) =>
    // results must be written, not added to
    put(new Float32Array(shape.reduce((a, b) => a * b)).fill(7), shape);
  return {
    query: put(query, shape),
    reference: put(reference, shape),
    logitScale: put([logitScale], [1]),
    smoothing: put(smoothing, [n]),
    scaler: put([LOSS_SCALE, 9, 9, 9, 9, 9, 9, 9], [8]),
    rowLse: stale([n]),
    columnLse: stale([n]),
    pairLoss: stale([n]),
    loss: stale([1]),
    dQuery: stale(shape),
    dReference: stale(shape),
    dLogitScale: stale([1]),
  };
}

function distance(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  assert.equal(actual.length, expected.length);
  let sum = 0;
  for (let i = 0; i < actual.length; i++) sum += (actual[i]! - expected[i]!) ** 2;
  return Math.sqrt(sum);
}

/** Runs the kernels and holds every result to the oracle's. */
async function check(gpu: Gpu, input: CpuInfoNce): Promise<void> {
  const n = input.smoothing.length;
  const d = input.query.length / n;
  const tensors = upload(gpu, input);
  await runOnce(gpu, (plan) => infoNce(plan, tensors));
  const expected = infoNceCpu(input);

  // A logit errs by the d / 4 roundings of its sums, which lie below 1 and walk randomly (4 sigma
  // of 2^-25 each), and by exp(logitScale): 3 + 2 |x| units of 2^-23 by the WGSL specification.
  // A log-sum-exp adds exp, log and n / 256 additions in a lane: 2^-21 covers them.
  const t = Math.exp(input.logitScale);
  const logit = t * (4 * Math.sqrt(d / 4) * 2 ** -25 + (3 + 2 * input.logitScale) * 2 ** -23);
  const delta = 2 * logit + 2 ** -21;
  // The loss is a mean of differences of two such numbers.
  assertClose(await readTensor(gpu, tensors.loss), [expected.loss], {
    atol: 2 * delta,
    rtol: 2 ** -22,
  });
  // A probability p errs by p * delta, a row's probabilities of both directions add up to about 2
  // (at most 4 here), so row i of a gradient errs by LOSS_SCALE * t / 2n * 4 * delta and the
  // matrix by sqrt(n) times that.
  const bound = LOSS_SCALE * t / (2 * n) * 4 * delta * Math.sqrt(n);
  for (const name of ["dQuery", "dReference"] as const) {
    const error = distance(
      await readTensor(gpu, tensors[name]),
      expected[name].map((g) => LOSS_SCALE * g),
    );
    assert(error <= bound, `${name} is ${error} from the oracle, at most ${bound} expected`);
  }
  // Its own n d products have unit query rows as factors: sqrt(n) * bound by Cauchy-Schwarz.
  assertClose(await readTensor(gpu, tensors.dLogitScale), [LOSS_SCALE * expected.dLogitScale], {
    atol: Math.sqrt(n) * bound,
    rtol: 2 ** -20,
  });
}

function randomCase(n: number, d: number, scale: number): CpuInfoNce {
  return {
    query: unitRows(n, d, 1),
    reference: unitRows(n, d, 2),
    smoothing: uniform(n, 3).map((u) => 0.5 + 0.5 * u),
    logitScale: Math.fround(Math.log(scale)),
  };
}

// A workgroup has 8 rows, a lane 4 columns, a tile 256 columns and 64 vec4s of a row.
const smallShapes = [[1, 4], [2, 8], [7, 12], [8, 32], [9, 256], [13, 260]] as const;
const largeShapes = [[100, 64], [256, 8], [257, 20], [515, 516]] as const;
for (const [n, d] of [...smallShapes, ...largeShapes]) {
  gpuTest(`infoNce() matches the oracle at (${n}, ${d})`, async (gpu) => {
    for (const scale of [1, 1 / 0.07, 100, 400]) await check(gpu, randomCase(n, d, scale));
  });
}

gpuTest("infoNce() matches the oracle with smoothing 0 and 1", async (gpu) => {
  for (const smoothing of [0, 1]) {
    const input = randomCase(70, 36, 1 / 0.07);
    await check(gpu, { ...input, smoothing: new Float32Array(70).fill(smoothing) });
  }
});

gpuTest("infoNce() matches the oracle on solved, opposite and zero embeddings", async (gpu) => {
  const input = randomCase(33, 16, 200);
  await check(gpu, { ...input, reference: input.query });
  await check(gpu, { ...input, reference: Float32Array.from(input.query, (x) => -x) });
  await check(gpu, { ...input, reference: new Float32Array(33 * 16) });
});

gpuTest("infoNce() is log(n) when all rows are equal or opposite", async (gpu) => {
  const n = 70;
  const rows = new Float32Array(n * 4).map((_, i) => i % 4 === 0 ? 1 : 0);
  const smoothing = uniform(n, 3).map(Math.abs);
  // Logits are ± exp(5) and log-sum-exps log(n) more, numbers below 256 with 16 fractional bits.
  const atol = 4 * 2 ** -17;
  for (const reference of [rows, rows.map((x) => -x)]) {
    const tensors = upload(gpu, { query: rows, reference, smoothing, logitScale: 5 });
    await runOnce(gpu, (plan) => infoNce(plan, tensors));
    assertClose(await readTensor(gpu, tensors.loss), [Math.log(n)], { atol, rtol: 0 });
  }
});

gpuTest("infoNce() gives the same bits twice", async (gpu) => {
  const tensors = upload(gpu, randomCase(300, 64, 30));
  const run = async () => {
    await runOnce(gpu, (plan) => infoNce(plan, tensors));
    const { loss, dQuery, dReference, dLogitScale } = tensors;
    const results = [loss, dQuery, dReference, dLogitScale];
    return await Promise.all(results.map((tensor) => readTensor(gpu, tensor)));
  };
  const [first, second] = [await run(), await run()];
  first.forEach((values, i) => assert(values.every((x, j) => x === second[i]![j])));
});

gpuTest({
  name: "infoNce() gives the same bits from textures as from buffers",
  needs: ["eightLanes"],
}, async (gpu) => {
  const input = randomCase(9, 388, 30);
  await assertSameBits(gpu, 3, async (device) => {
    const tensors = upload(device, input);
    await runOnce(device, (plan) => infoNce(plan, tensors));
    const { rowLse, columnLse, pairLoss, loss, dQuery, dReference, dLogitScale } = tensors;
    return [rowLse, columnLse, pairLoss, loss, dQuery, dReference, dLogitScale];
  });
});

gpuTest("infoNce() passes NaN on", async (gpu) => {
  const input = randomCase(9, 8, 10);
  const tensors = upload(gpu, { ...input, query: Float32Array.from(input.query).fill(NaN, 8, 9) });
  await runOnce(gpu, (plan) => infoNce(plan, tensors));
  assert(Number.isNaN((await readTensor(gpu, tensors.loss))[0]));
  assert(Number.isNaN((await readTensor(gpu, tensors.dLogitScale))[0]));
});

gpuTest("infoNce() refuses tensors that do not fit", async (gpu) => {
  const tensors = upload(gpu, randomCase(6, 8, 10));
  const refuse = (change: Partial<InfoNceInput>, error: Error) =>
    assert.rejects(runOnce(gpu, (plan) => infoNce(plan, { ...tensors, ...change })), error);
  await refuse(
    { reference: createTensor(gpu, [5, 8]) },
    new RangeError("Cannot run info_nce: reference is (5,8) f32, it must be (6,8) f32"),
  );
  await refuse(
    { dQuery: createTensor(gpu, [6, 8], "f16") },
    new TypeError("Cannot run info_nce: dQuery is (6,8) f16, it must be (6,8) f32"),
  );
  await refuse(
    { query: createTensor(gpu, [6, 6]) },
    new RangeError(
      "Cannot run info_nce: query is (6,6), its last dimension must be a multiple of 4",
    ),
  );
});

Deno.test("infoNceCpu() agrees with central differences", () => {
  const { query, reference, smoothing } = randomCase(5, 8, 1);
  const input = {
    query: Float64Array.from(query),
    reference: Float64Array.from(reference),
    smoothing,
    logitScale: 2,
  };
  const { dQuery, dReference, dLogitScale } = infoNceCpu(input);
  const h = 1e-5;
  // The difference quotient errs by h² times a third derivative, up to exp(2)³ = 400, over 6, and
  // by rounding, 2^-53 / h.
  const tolerance = { atol: 400 * h * h + 2 ** -50 / h, rtol: 1e-6 };
  for (const [name, gradient] of [["query", dQuery], ["reference", dReference]] as const) {
    const differences = gradient.map((_, i) => {
      const at = (step: number) => {
        const values = input[name].with(i, input[name][i]! + step);
        return infoNceCpu({ ...input, [name]: values }).loss;
      };
      return (at(h) - at(-h)) / (2 * h);
    });
    assertClose(gradient, differences, tolerance);
  }
  const at = (step: number) => infoNceCpu({ ...input, logitScale: 2 + step }).loss;
  assertClose([dLogitScale], [(at(h) - at(-h)) / (2 * h)], tolerance);
});

Deno.test("infoNceCpu() equals a case worked out by hand", () => {
  // Z = I with scale 1: every row has log(e + 1) - 1 on the pair and log(e + 1) elsewhere.
  const { loss } = infoNceCpu({
    query: [1, 0, 0, 1],
    reference: [1, 0, 0, 1],
    smoothing: [0, 0.4],
    logitScale: 0,
  });
  const lse = Math.log(Math.E + 1);
  assertClose([loss], [(lse - 1 + (lse - 0.8)) / 2], { atol: 1e-15, rtol: 0 });
});
