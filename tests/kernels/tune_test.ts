import assert from "node:assert/strict";
import { tickMs } from "../../kernels/clock.ts";
import { gemm } from "../../kernels/gemm.ts";
import {
  createTensor,
  destroyTensor,
  type Gpu,
  readTensor,
  uploadTensor,
  writeTensor,
} from "../../kernels/gpu.ts";
import { Plan, runPlans } from "../../kernels/plan.ts";
import {
  answersFor,
  recordTuned,
  startTuning,
  tune,
  type TunedKernel,
} from "../../kernels/tune.ts";
import { gpuTest, uniform } from "../testing.ts";

/** Fills `out` with `value`, `work` times over. */
function fill(gpu: Gpu, value: number, work: number) {
  const out = createTensor(gpu, [64]);
  return {
    out,
    record: (plan: Plan) =>
      plan.add({
        label: "fill",
        code: `
          override VALUE: f32 = 0; override WORK: u32 = 1;
          @group(0) @binding(0) var<storage, read_write> out: array<f32>;
          @compute @workgroup_size(64)
          fn main(@builtin(local_invocation_index) lane: u32) {
            for (var i = 0u; i < WORK; i++) { out[lane] = out[lane] * 0.5 + VALUE; }
            out[lane] = VALUE;
          }`,
        constants: { VALUE: value, WORK: work },
        tensors: [out],
        groups: [1, 1, 1],
      }),
  };
}

/** A kernel whose layout "slow" does a thousand times the work of "fast", and marks differently. */
function kernelOf(gpu: Gpu, plan: Plan) {
  const [slow, fast] = [fill(gpu, 1, 20_000), fill(gpu, 2, 2)];
  const recorded: string[] = [];
  const trials: string[] = [];
  const layouts = { slow, fast };
  const kernel: TunedKernel<"slow" | "fast"> = {
    ...{ key: "fill", layouts: ["slow", "fast"], fallback: "slow", flops: 10 },
    record(layout) {
      recorded.push(layout);
      layouts[layout].record(plan);
    },
    rehearse(trial, layout) {
      trials.push(layout);
      layouts[layout].record(trial);
      return [createTensor(gpu, [1024])];
    },
  };
  return { kernel, recorded, trials, ...layouts };
}

Deno.test("answersFor() leaves out what is known of other adapters and hosts", () => {
  const answers = new Map([["A, deno: x", "1"], ["A, dawn: x", "2"], ["AB, deno: y", "3"]]);
  assert.deepEqual([...answersFor({ name: "A", host: "deno" }, answers)], [["x", "1"]]);
  assert.deepEqual([...answersFor({ name: "A", host: "dawn" }, answers)], [["x", "2"]]);
});

gpuTest({
  name: "tune() takes the fastest layout, in the place of the first",
  needs: ["timestamps"],
}, async (gpu) => {
  const answers = new Map<string, string>();
  startTuning(gpu, { level: "full", answers });
  const plan = new Plan(gpu);
  const before = fill(gpu, 3, 1);
  const copy = createTensor(gpu, [64]);
  before.record(plan);
  const { kernel, recorded, trials, fast, slow } = kernelOf(gpu, plan);
  recordTuned(plan, kernel);
  plan.copy({ from: fast.out, to: copy, count: 64 }); // after the part, not before
  assert.deepEqual(recorded, ["slow"]);

  const { current } = gpu.memory;
  assert.equal(await tune(gpu, [plan]), 1);
  assert.equal(gpu.memory.current, current, "scratch is freed");
  assert.deepEqual(trials, ["slow", "fast"]);
  assert.deepEqual(recorded, ["slow", "fast"]);
  assert.deepEqual([...answers], [[`${gpu.name}, ${gpu.host}: fill`, "fast"]]);
  assert.equal(await tune(gpu, [plan]), 0);

  writeTensor(gpu, fast.out, new Float32Array(64)); // what the trial left
  const rows = await plan.profile();
  assert.equal(rows.reduce((sum, { calls }) => sum + calls, 0), 2, "one layout is left");
  assert.equal((await readTensor(gpu, before.out))[0], 3);
  assert.equal((await readTensor(gpu, copy))[0], 2);
  assert.equal((await readTensor(gpu, slow.out))[0], 1, "from its trial");

  // What is known is not asked again, and a layout that is gone is.
  recordTuned(plan, kernel);
  assert.deepEqual([recorded.at(-1), await tune(gpu, [plan])], ["fast", 0]);
  answers.set([...answers.keys()][0]!, "removed since");
  recordTuned(plan, kernel);
  assert.deepEqual([recorded.at(-1), await tune(gpu, [plan])], ["slow", 1]);
});

gpuTest({
  name: "tune() records a kernel anew wherever its plans have it, timed once",
  needs: ["timestamps"],
}, async (gpu) => {
  startTuning(gpu, { level: "full", answers: new Map() });
  const plans = [new Plan(gpu), new Plan(gpu)];
  const cases = plans.map((plan) => {
    const { kernel, recorded } = kernelOf(gpu, plan);
    recordTuned(plan, kernel);
    recordTuned(plan, kernel);
    return recorded;
  });
  assert.equal(await tune(gpu, plans), 1);
  const both = ["slow", "slow", "fast", "fast"];
  assert.deepEqual(cases, [both, both]);
});

gpuTest({
  name: "tune() leaves plans alone that it is not given, whose tensors may be gone",
  needs: ["timestamps"],
}, async (gpu) => {
  startTuning(gpu, { level: "full", answers: new Map() });
  const [gone, plan] = [new Plan(gpu), new Plan(gpu)];
  const { kernel: other, slow, fast } = kernelOf(gpu, gone);
  recordTuned(gone, other);
  for (const { out } of [slow, fast]) destroyTensor(gpu, out);
  const { kernel, recorded } = kernelOf(gpu, plan);
  recordTuned(plan, kernel);
  assert.equal(await tune(gpu, [plan]), 1);
  assert.deepEqual(recorded, ["slow", "fast"]);
});

gpuTest({
  name: "tune() goes by the least time of a layout, not counting the first run",
  needs: ["timestamps"],
}, async (gpu) => {
  const device: Gpu = { ...gpu, isCpu: true }; // which runs nothing between its trials
  startTuning(device, { level: "full", answers: new Map() });
  const plan = new Plan(device);
  const { kernel, recorded } = kernelOf(device, plan);
  recordTuned(plan, { ...kernel, fallback: "fast" });
  const times = [9, 0, 1]; // the slow one and the fast one in turns
  let run = 0;
  const { profile } = Plan.prototype;
  Plan.prototype.profile = () => {
    const ms = times[run] ?? [9, 5][run % 2]!;
    run++;
    return Promise.resolve([{ label: "fill", calls: 1, ms, flops: 0, bytes: 0 }]);
  };
  try {
    assert.equal(await tune(device, [plan]), 1);
  } finally {
    Plan.prototype.profile = profile;
  }
  assert.deepEqual(recorded, ["fast", "slow"]);
});

gpuTest({
  name: "startTuning() leaves small kernels, and CPU adapters unless all is asked for",
  needs: ["timestamps"],
}, async (gpu) => {
  const asked = async (level: "off" | "quick" | "full", { isCpu = false, flops = 1e10 }) => {
    const device: Gpu = { ...gpu, isCpu };
    startTuning(device, { level, answers: new Map() });
    const plan = new Plan(device);
    const { kernel } = kernelOf(device, plan);
    recordTuned(plan, { ...kernel, flops });
    return await tune(device, [plan]);
  };
  assert.equal(await asked("off", {}), 0);
  assert.equal(await asked("quick", {}), 1);
  assert.equal(await asked("quick", { flops: 1e8 }), 0);
  assert.equal(await asked("quick", { isCpu: true }), 0);
  assert.equal(await asked("full", { isCpu: true, flops: 1e8 }), 1);
});

gpuTest({
  name: "tune() asks no question again that it could not answer",
  needs: ["timestamps"],
}, async (gpu) => {
  startTuning(gpu, { level: "full", answers: new Map() });
  const plan = new Plan(gpu);
  const { kernel, recorded } = kernelOf(gpu, plan);
  const rehearse = () => {
    throw new SyntaxError("gone");
  };
  recordTuned(plan, { ...kernel, key: "bad", rehearse });
  recordTuned(plan, kernel);
  await assert.rejects(tune(gpu, [plan]), /gone/);
  assert.equal(await tune(gpu, [plan]), 1);
  assert.equal(recorded.at(-1), "fast");
});

gpuTest({
  name: "a trial on a GPU comes right behind other work, which keeps its clock up",
  needs: ["timestamps"],
}, async (gpu) => {
  await tickMs(gpu); // looks at the clock, once
  const events: string[] = [];
  const spy = (object: object, name: string, event: string) => {
    const methods = object as Record<string, (...args: unknown[]) => unknown>;
    const method = methods[name]!.bind(object);
    methods[name] = (...args) => (events.push(event), method(...args));
  };
  spy(gpu.device, "createQuerySet", "trial");
  spy(gpu.device.queue, "submit", "submit");
  spy(gpu.device.queue, "onSubmittedWorkDone", "wait");
  const queued = async (isCpu: boolean) => {
    const device: Gpu = { ...gpu, isCpu };
    startTuning(device, { level: "full", answers: new Map() });
    const plan = new Plan(device);
    recordTuned(plan, kernelOf(device, plan).kernel);
    events.length = 0;
    const start = performance.now();
    await tune(device, [plan]);
    const ms = performance.now() - start;
    // Two trials compile; then, between one trial and the next, its own submit and what else?
    return { ms, between: events.join(" ").split("trial").slice(3, -1).map((s) => s.trim()) };
  };
  const onGpu = await queued(false);
  assert(onGpu.ms > 1000, `the clock has ${onGpu.ms} ms to rise`);
  assert(onGpu.between.length > 10);
  for (const text of onGpu.between) assert.match(text, /^submit( submit)+$/);
  const onCpu = await queued(true);
  assert.deepEqual([...new Set(onCpu.between)], ["submit"]);
  assert(!events.includes("wait"), "a CPU has nothing to wake");
});

gpuTest({
  name: "a GEMM that adds to a large result is not tried, as its trials need as much",
  needs: ["timestamps"],
}, async (gpu) => {
  startTuning(gpu, { level: "full", answers: new Map() });
  const tried = (m: number, n: number) => {
    const plan = new Plan(gpu);
    const [a, b, c] = [[1, m], [1, n], [m, n]].map((shape) => createTensor(gpu, shape));
    gemm(plan, { form: "tn", a: a!, b: b!, c: c!, accumulate: true });
    return tune(gpu, [plan]);
  };
  assert.equal(await tried(64, 64), 1);
  assert.equal(await tried(4096, 2052), 0); // each of two layouts may have 2^23 elements
});

gpuTest({
  name: "tuning a GEMM that adds to its result leaves that as it was",
  needs: ["timestamps"],
}, async (gpu) => {
  const [m, n, k] = [64, 64, 64];
  const [a, b] = [
    uploadTensor(gpu, uniform(k * m, 1), [k, m]),
    uploadTensor(gpu, uniform(k * n, 2), [k, n]),
  ];
  const run = async (tuned: boolean) => {
    startTuning(gpu, { level: tuned ? "full" : "off", answers: new Map() });
    const c = uploadTensor(gpu, uniform(m * n, 3), [m, n]);
    const plan = new Plan(gpu);
    gemm(plan, { form: "tn", a, b, c, accumulate: true });
    assert.equal(await tune(gpu, [plan]), Number(tuned));
    await plan.ready();
    runPlans(gpu, [plan]);
    return await readTensor(gpu, c);
  };
  const plain = await run(false);
  assert(plain.every(Number.isFinite));
  assert.deepEqual(await run(true), plain);
});
