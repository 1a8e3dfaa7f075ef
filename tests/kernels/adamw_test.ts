import assert from "node:assert/strict";
import {
  adamw,
  type AdamWInput,
  initialScaler,
  partialsShape,
  readScaler,
  SCALER_FIELDS,
  UPDATED_AT_ONCE,
} from "../../kernels/adamw.ts";
import { adamwCpu, type CpuAdamW, type CpuAdamWOptions } from "../../kernels/adamw_cpu.ts";
import { createTensor, type Gpu, readTensor, writeTensor } from "../../kernels/gpu.ts";
import { Plan, runOnce, runPlans } from "../../kernels/plan.ts";
import { assertClose, gpuTest, uniform } from "../testing.ts";
import { assertSameBits } from "./same_bits.ts";

const DEFAULTS: Omit<CpuAdamWOptions, "lr"> = {
  beta1: 0.9,
  beta2: 0.999,
  eps: 1e-8,
  weightDecay: 0.01,
  clipValue: 0,
  clipNorm: 0,
  dynamicScale: true,
  growthInterval: 2000,
};

function createInput(gpu: Gpu, size: number): Omit<AdamWInput, keyof typeof DEFAULTS> {
  const flat = () => createTensor(gpu, [size]);
  return {
    parameters: flat(),
    gradients: flat(),
    m: flat(),
    v: flat(),
    step: createTensor(gpu, [8], "u32"),
    scaler: createTensor(gpu, [8]),
    partials: createTensor(gpu, partialsShape(size)),
  };
}

/** Elements of a `step` tensor. */
function stepWords({ lr }: { lr: number }): Uint32Array {
  const words = new Uint32Array(8);
  new Float32Array(words.buffer)[2] = lr;
  return words;
}

/** The kernels and the oracle side by side, both starting from the same random parameters. */
async function duel(gpu: Gpu, size: number, scale: number, change: Partial<typeof DEFAULTS>) {
  const settings = { ...DEFAULTS, ...change };
  const input = createInput(gpu, size);
  const start = uniform(size, 1);
  writeTensor(gpu, input.parameters, start);
  writeTensor(gpu, input.scaler, initialScaler({ scale }));
  const cpu: CpuAdamW = {
    parameters: Float64Array.from(start),
    gradients: new Float64Array(size),
    m: new Float64Array(size),
    v: new Float64Array(size),
    scale,
    tracker: 0,
    foundInf: false,
    skipped: 0,
    steps: 0,
    gradNorm: 0,
    gradMax: 0,
  };
  const plan = new Plan(gpu);
  adamw(plan, { ...input, ...settings });
  await plan.ready();

  /** One step with gradients `unscaled`, which the loss scale multiplies first. */
  const step = async (unscaled: Float32Array, lr: number) => {
    const gradients = unscaled.map((g) => g * cpu.scale);
    writeTensor(gpu, input.step, stepWords({ lr }));
    writeTensor(gpu, input.gradients, gradients);
    runPlans(gpu, [plan]);
    cpu.gradients.set(gradients);
    adamwCpu(cpu, { ...settings, lr });

    // Moments are sums of at most 20 terms here, each rounded 4 times by 2^-24; the second has only
    // positive terms. A step of Adam is lr times a ratio of size 1 to 3: 2^-14 holds 20 steps of
    // roundings of m where they cancel, 2^-21 those of the parameter itself.
    const tensors = [input.parameters, input.m, input.v, input.gradients, input.scaler];
    const [parameters, m, v, left, scalerValues] = await Promise.all(
      tensors.map((tensor) => readTensor(gpu, tensor)),
    );
    const largest = cpu.m.reduce((most, m) => Math.max(most, Math.abs(m)), 0) + cpu.gradMax;
    assertClose(m!, cpu.m, { atol: 80 * 2 ** -24 * largest, rtol: 2 ** -18 });
    assertClose(v!, cpu.v, { atol: 2 ** -100, rtol: 80 * 2 ** -24 });
    assertClose(parameters!, cpu.parameters, { atol: lr * 2 ** -14 + 2 ** -21, rtol: 0 });
    assert(left!.every((g) => g === 0), "gradients must be zero after a step");

    const state = readScaler(scalerValues!);
    const { scale, tracker, skipped, steps } = cpu;
    const { foundInf, gradNorm, gradMax, coef: _, ...counters } = state;
    assert.deepEqual(counters, { scale, tracker, skipped, steps });
    assert.equal(foundInf, Number(cpu.foundInf));
    // Squares of `size` gradients, at most 64 in a lane and 512 partial sums after it.
    assertClose([gradNorm], [cpu.gradNorm], { atol: 0, rtol: 2 ** -15 });
    assertClose([gradMax], [cpu.gradMax], { atol: 0, rtol: 2 ** -22 });
    return { ...state, parameters: parameters! };
  };
  return { input, step };
}

// 4 values a vec4, 64 vec4s a workgroup of adamw, 256 of grad_stats.
for (const size of [1, 3, 4, 63, 64, 257, 1023, 1028, 4099]) {
  gpuTest(`adamw() follows the oracle for 12 steps at size ${size}`, async (gpu) => {
    const { step } = await duel(gpu, size, 1024, {});
    for (let s = 0; s < 12; s++) {
      const size10 = 10 ** (s % 4 - 2); // gradients of very different sizes
      await step(uniform(size, 10 + s).map((g) => g * size10), s === 0 ? 0 : 1e-2);
    }
  });
}

gpuTest("adamw() follows the oracle past what a CPU adapter updates at once", async (gpu) => {
  const size = 2 * UPDATED_AT_ONCE + 192;
  const { step } = await duel(gpu, size, 1024, { clipNorm: 1 });
  for (let s = 0; s < 2; s++) await step(uniform(size, 10 + s), 1e-2);
});

gpuTest({
  name: "adamw() gives the same bits from textures as from buffers",
  needs: ["eightLanes"],
}, async (gpu) => {
  await assertSameBits(gpu, 1, async (device) => {
    const { input, step } = await duel(device, 4096, 8, { clipValue: 0.3 });
    for (let s = 0; s < 2; s++) await step(uniform(4096, 10 + s), 1e-2);
    return [input.parameters, input.gradients, input.m, input.v, input.scaler];
  });
});

gpuTest("adamw() changes nothing but moments when lr is 0", async (gpu) => {
  const { step } = await duel(gpu, 100, 1, { weightDecay: 0.5 });
  const { parameters } = await step(uniform(100, 2), 0);
  assert.deepEqual(parameters, uniform(100, 1));
});

gpuTest("adamw() decays and ignores gradients of zero", async (gpu) => {
  const { step } = await duel(gpu, 100, 1, { weightDecay: 0.5 });
  const { parameters } = await step(new Float32Array(100), 0.1);
  const expected = uniform(100, 1).map((x) => x * 0.95);
  assertClose(parameters, expected, { atol: 0, rtol: 2 ** -22 });
});

for (
  const [name, change] of [
    ["by value", { clipValue: 0.01 }],
    ["by norm", { clipNorm: 0.5 }],
    ["by norm, then by value", { clipNorm: 0.5, clipValue: 0.004 }],
    ["by limits that are not reached", { clipNorm: 1e9, clipValue: 1e9 }],
  ] as const
) {
  gpuTest(`adamw() clips ${name}`, async (gpu) => {
    const { step } = await duel(gpu, 1000, 64, change);
    for (let s = 0; s < 4; s++) await step(uniform(1000, 20 + s), 1e-2);
    await step(uniform(1000, 30).map((g) => g * 1e-4), 1e-2); // too small to be clipped by norm
    await step(uniform(1000, 31).map((g) => g * 1e6), 1e-2);
  });
}

gpuTest("adamw() adds 1e-6 to the norm it divides by", async (gpu) => {
  const { step } = await duel(gpu, 4, 8, { clipNorm: 1e-3 });
  const { coef, gradNorm } = await step(Float32Array.of(3e-3, 0, -4e-3, 0), 1e-3);
  assertClose([gradNorm], [5e-3], { atol: 0, rtol: 2 ** -22 });
  assertClose([coef], [1e-3 / (5e-3 + 1e-6) / 8], { atol: 0, rtol: 2 ** -21 });
});

for (const bad of [NaN, Infinity, -Infinity]) {
  for (const index of [0, 1, 2, 3, 1022]) { // every part of a vec4, and past the last one
    gpuTest(`adamw() skips a step with ${bad} at ${index} of 1023`, async (gpu) => {
      const { step } = await duel(gpu, 1023, 1024, { clipNorm: 1, clipValue: 1 });
      const { parameters } = await step(uniform(1023, 5), 1e-2);
      for (let skipped = 1; skipped <= 2; skipped++) {
        const state = await step(uniform(1023, 6).fill(bad, index, index + 1), 1e-2);
        assert.equal(state.scale, 1024 / 2 ** skipped);
        assert.equal(state.skipped, skipped);
        assert.deepEqual(state.parameters, parameters);
      }
      assert.equal((await step(uniform(1023, 7), 1e-2)).skipped, 0);
    });
  }
}

gpuTest("adamw() grows the scale at the interval, counted from the last change", async (gpu) => {
  const { step } = await duel(gpu, 10, 4, { growthInterval: 3 });
  const scales = [];
  for (let s = 0; s < 9; s++) {
    const gradients = uniform(10, 40 + s);
    if (s === 4) gradients[7] = Infinity;
    scales.push((await step(gradients, 1e-2)).scale);
  }
  assert.deepEqual(scales, [4, 4, 8, 8, 4, 4, 4, 8, 8]);
});

gpuTest("adamw() does not grow the scale past f32", async (gpu) => {
  const { step } = await duel(gpu, 10, 2 ** 127, { growthInterval: 1 });
  assert.equal((await step(new Float32Array(10), 1e-2)).scale, 2 ** 127);
});

gpuTest("adamw() keeps a fixed scale and still skips and counts", async (gpu) => {
  const { step } = await duel(gpu, 10, 1, { dynamicScale: false, growthInterval: 1 });
  const bad = uniform(10, 3).fill(NaN, 2, 3);
  for (const [gradients, skipped] of [[uniform(10, 2), 0], [bad, 1], [bad, 2]] as const) {
    const state = await step(gradients, 1e-2);
    assert.deepEqual([state.scale, state.skipped, state.tracker], [1, skipped, 0]);
  }
});

gpuTest("adamw() corrects the bias of any step to 2^-20", async (gpu) => {
  const input = createInput(gpu, 1);
  const plan = new Plan(gpu);
  adamw(plan, { ...input, ...DEFAULTS });
  await plan.ready();
  writeTensor(gpu, input.step, stepWords({ lr: 1 }));
  // In f32, 1 - 0.999^t itself errs by 2^-24 / (t / 1000): 2^-14 at t = 1. exp and the series may
  // err by 2^-21, which the root halves, and about six roundings follow.
  for (const t of [1, 2, 3, 4, 5, 7, 10, 100, 499, 500, 501, 1000, 20_000, 1_000_000]) {
    const zero = Float32Array.of(0);
    for (const tensor of [input.parameters, input.m, input.v]) writeTensor(gpu, tensor, zero);
    writeTensor(gpu, input.gradients, Float32Array.of(1));
    const scaler = initialScaler({ scale: 1 });
    scaler[SCALER_FIELDS.indexOf("steps")] = t - 1;
    writeTensor(gpu, input.scaler, scaler);
    runPlans(gpu, [plan]);
    const step = 0.1 / (1 - 0.9 ** t) / (Math.sqrt(0.001 / (1 - 0.999 ** t)) + 1e-8);
    assertClose(await readTensor(gpu, input.parameters), [-step], { atol: 0, rtol: 2 ** -20 });
  }
});

gpuTest("adamw() takes PyTorch's betas, eps and interval where none are given", async (gpu) => {
  const input = createInput(gpu, 1);
  const { weightDecay, clipValue, clipNorm, dynamicScale } = DEFAULTS;
  const plan = new Plan(gpu);
  adamw(plan, { ...input, weightDecay, clipValue, clipNorm, dynamicScale });
  await plan.ready();
  writeTensor(gpu, input.step, stepWords({ lr: 1 }));
  for (const [tracker, next] of [[1998, 4], [1999, 8]] as const) {
    const zero = Float32Array.of(0);
    for (const tensor of [input.parameters, input.m, input.v]) writeTensor(gpu, tensor, zero);
    writeTensor(gpu, input.gradients, Float32Array.of(4e-8)); // times the scale; as small as eps
    const scaler = initialScaler({ scale: 4 });
    scaler[SCALER_FIELDS.indexOf("tracker")] = tracker;
    writeTensor(gpu, input.scaler, scaler);
    runPlans(gpu, [plan]);
    const tolerance = { atol: 0, rtol: 2 ** -20 };
    assertClose(await readTensor(gpu, input.m), [0.1 * 1e-8], tolerance);
    assertClose(await readTensor(gpu, input.v), [0.001 * 1e-16], tolerance);
    assertClose(await readTensor(gpu, input.parameters), [-1e-8 / (1e-8 + 1e-8)], tolerance);
    assert.equal(readScaler(await readTensor(gpu, input.scaler)).scale, next);
  }
});

gpuTest("adamw() reaches every element of a grid folded into rows", async (gpu) => {
  const size = 32768 * 256 + 260;
  const input = createInput(gpu, size);
  writeTensor(gpu, input.scaler, initialScaler({ scale: 1 }));
  writeTensor(gpu, input.step, stepWords({ lr: 0.25 }));
  const gradients = new Float32Array(size).fill(0.5);
  // Adam's first step is lr; the second is skipped, for the first of a lane's 32 vec4s.
  for (const [first, largest] of [[0.75, 0.75], [NaN, 0.5]] as const) {
    gradients[0] = first;
    writeTensor(gpu, input.gradients, gradients);
    await runOnce(gpu, (plan) => adamw(plan, { ...input, ...DEFAULTS }));
    const parameters = await readTensor(gpu, input.parameters);
    assert(parameters.every((x) => Math.abs(x + 0.25) <= 2 ** -20));
    assert((await readTensor(gpu, input.gradients)).every((g) => g === 0));
    const { gradNorm, gradMax, foundInf } = readScaler(await readTensor(gpu, input.scaler));
    assertClose([gradNorm], [0.5 * Math.sqrt(size)], { atol: 0, rtol: 2 ** -15 });
    assert.equal(gradMax, largest);
    assert.equal(foundInf, Number(Number.isNaN(first)));
  }
});

gpuTest("adamw() refuses tensors and betas that do not fit", async (gpu) => {
  const input = { ...createInput(gpu, 1028), ...DEFAULTS };
  const refuse = (change: Partial<AdamWInput>, error: Error) =>
    assert.rejects(runOnce(gpu, (plan) => adamw(plan, { ...input, ...change })), error);
  await refuse(
    { m: createTensor(gpu, [1024]) },
    new RangeError("Cannot run adamw: m is (1024) f32, it must be (1028) f32"),
  );
  await refuse(
    { partials: createTensor(gpu, [1, 4]) },
    new RangeError("Cannot run adamw: partials is (1,4) f32, it must be (2,4) f32"),
  );
  await refuse(
    { step: createTensor(gpu, [8]) },
    new TypeError("Cannot run adamw: step is (8) f32, it must be (8) u32"),
  );
  for (const [name, value] of [["beta1", 0], ["beta1", NaN], ["beta2", 0], ["beta2", 1]] as const) {
    await refuse(
      { [name]: value },
      new RangeError(
        `Cannot run adamw as ${name} must be between 0 and 1: current value is ${value}`,
      ),
    );
  }
});

Deno.test("adamwCpu() equals two steps worked out by hand", () => {
  const state: CpuAdamW = {
    parameters: Float64Array.of(1),
    gradients: Float64Array.of(8),
    m: Float64Array.of(0),
    v: Float64Array.of(0),
    scale: 2,
    tracker: 0,
    foundInf: false,
    skipped: 0,
    steps: 0,
    gradNorm: 0,
    gradMax: 0,
  };
  const options = { ...DEFAULTS, beta1: 0.5, beta2: 0.75, eps: 1, lr: 0.1, weightDecay: 0.5 };
  adamwCpu(state, options); // g 4, m 2, v 4: both corrected 4, 16
  assertClose(state.parameters, [0.95 - 0.1 * 4 / (4 + 1)], { atol: 1e-15, rtol: 0 });
  state.gradients[0] = -4;
  adamwCpu(state, options); // g -2, m 0
  assertClose(state.parameters, [0.95 * 0.87], { atol: 1e-15, rtol: 0 });
  assertClose(state.v, [4], { atol: 1e-15, rtol: 0 });
});
