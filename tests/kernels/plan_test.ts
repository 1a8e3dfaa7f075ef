import assert from "node:assert/strict";
import {
  checkGpu,
  createTensor,
  destroyTensor,
  type Gpu,
  readTensor,
  type Tensor,
  uploadTensor,
  viewTensor,
} from "../../kernels/gpu.ts";
import {
  encodePlans,
  type KernelRun,
  Plan,
  runOnce,
  runPlans,
  submit,
  wgslOf,
} from "../../kernels/plan.ts";
import { tickMs } from "../../kernels/clock.ts";
import { swigluBackward } from "../../kernels/swiglu.ts";
import { gpuTest } from "../testing.ts";
import { leftBy, madeBy } from "./made.ts";

/** x = TIMES x + PLUS, element by element. */
const CODE = `
alias Value = f32;
override SIZE: u32 = 4;
override TIMES: f32 = 1;
override PLUS: f32 = 0;
@group(0) @binding(0) var<storage, read_write> x: array<Value>;
@compute @workgroup_size(4)
fn main(@builtin(global_invocation_id) id: vec3u) {
  if (id.x < SIZE) { x[id.x] = Value(TIMES * f32(x[id.x]) + PLUS); }
}
`;

const affine = (x: Tensor, TIMES: number, PLUS: number, more: Partial<KernelRun> = {}) => ({
  label: "affine",
  code: CODE,
  constants: { SIZE: x.shape[0]!, TIMES, PLUS },
  tensors: [x],
  groups: [Math.ceil(x.shape[0]! / 4), 1, 1] as const,
  ...more,
});

const refusal = (gpu: Gpu, run: KernelRun) => runOnce(gpu, (plan) => plan.add(run));

const RUN: KernelRun = { label: "demo", code: CODE, tensors: [], groups: [1, 1, 1] };

Deno.test("wgslOf() replaces aliases, in includes too, and enables f16 where it is used", () => {
  const code = "alias A = f32;\nalias B = f32;\nfn main() {}";
  const include = ["alias C = f32;", "fn one() {}"];
  const source = (types: KernelRun["types"]) =>
    wgslOf({ ...RUN, code, include, types: types! }, "deno");
  const text = (a: string, b: string, c: string) =>
    `alias C = ${c};\nfn one() {}\nalias A = ${a};\nalias B = ${b};\nfn main() {}`;
  assert.equal(source({}), text("f32", "f32", "f32"));
  assert.equal(source({ A: "f32", B: "u32" }), text("f32", "u32", "f32"));
  assert.equal(source({ B: "f16", C: "f32" }), `enable f16;\n${text("f32", "f16", "f32")}`);
  assert.equal(source({ C: "f16" }), `enable f16;\n${text("f32", "f32", "f16")}`);
});

Deno.test("wgslOf() enables subgroups for Dawn where they are used", () => {
  const code = "alias A = f32;\nlet x = subgroupAdd(1.0);";
  const run: KernelRun = { ...RUN, code, types: { A: "f16" } };
  const body = code.replace("f32", "f16");
  assert.equal(wgslOf(run, "dawn"), `enable f16;\nenable subgroups;\n${body}`);
  assert.equal(wgslOf(run, "deno"), `enable f16;\n${body}`);
  assert.equal(wgslOf({ ...RUN, code: "fn main() {}" }, "dawn"), "fn main() {}");
});

Deno.test("wgslOf() refuses a type whose alias is not in the source", () => {
  for (const [name, code] of [["Value", "alias Values = f32;"], ["A", "alias A = u32;"]] as const) {
    assert.throws(
      () => wgslOf({ ...RUN, code, types: { [name]: "f16" } }, "deno"),
      new TypeError(`Cannot compile kernel "demo": no "alias ${name} = f32;"`),
    );
  }
});

gpuTest("Plan runs a kernel with its constants, types and bindings", async (gpu) => {
  const x = uploadTensor(gpu, Float32Array.of(1, 2, 3, 4, 5), [5]);
  await runOnce(gpu, (plan) => plan.add(affine(x, 2, 1)));
  assert.deepEqual([...await readTensor(gpu, x)], [3, 5, 7, 9, 11]);
});

gpuTest({ name: "Plan runs a kernel in f16", needs: ["f16"] }, async (gpu) => {
  const half = uploadTensor(gpu, Float32Array.of(1, 2, 3), [3], "f16");
  await runOnce(gpu, (plan) => plan.add(affine(half, 2, 0.25, { types: { Value: "f16" } })));
  assert.deepEqual([...await readTensor(gpu, half)], [2.25, 4.25, 6.25]);
});

gpuTest("Plan binds a view where it starts and no further than its buffer", async (gpu) => {
  const whole = uploadTensor(gpu, new Float32Array(70), [70]);
  const view = viewTensor(gpu, whole, { start: 64, shape: [5] });
  await runOnce(gpu, (plan) => plan.add(affine(view, 0, 3)));
  const wanted = [...Array(64).fill(0), 3, 3, 3, 3, 3, 0];
  assert.deepEqual([...await readTensor(gpu, whole)], wanted);
});

gpuTest("Plan.ready() says which kernel does not compile", async (gpu) => {
  const x = createTensor(gpu, [4]);
  const broken = affine(x, 1, 0, { label: "broken", code: CODE.replace("PLUS);", "1u);") });
  const wanted = (error: Error) =>
    error instanceof SyntaxError && error.message.startsWith('Cannot compile kernel "broken": ');
  await assert.rejects(refusal(gpu, broken), wanted);
  await assert.rejects(refusal(gpu, broken), wanted); // also from the cache
  assert.equal(gpu.failure, null);
  await runOnce(gpu, (plan) => plan.add(affine(x, 1, 7)));
  assert.deepEqual([...await readTensor(gpu, x)], [7, 7, 7, 7]);
});

gpuTest(
  "Plan.ready() says which kernel has a binding or constant that does not fit",
  async (gpu) => {
    const x = createTensor(gpu, [4]);
    const cases: Partial<KernelRun>[] = [
      { tensors: [] },
      { tensors: [x, x] },
      { constants: { OTHER: 1 } },
      { code: CODE.replace("fn main", "fn other") },
    ];
    for (const change of cases) {
      await assert.rejects(
        refusal(gpu, affine(x, 1, 0, { label: "misfit", ...change })),
        /^SyntaxError: Cannot compile kernel "misfit": ./,
      );
    }
    assert.equal(gpu.failure, null);
  },
);

gpuTest("Plan.ready() may be called long after a bad kernel was recorded", async (gpu) => {
  const plan = new Plan(gpu);
  plan.add(affine(createTensor(gpu, [4]), 1, 0, { code: "fn main() {" }));
  await new Promise((resolve) => setTimeout(resolve, 20)); // an unhandled rejection would kill us
  await assert.rejects(plan.ready(), SyntaxError);
});

gpuTest("a plan runs when it is ready, not before", async (gpu) => {
  const x = uploadTensor(gpu, Float32Array.of(1), [1]);
  const plan = new Plan(gpu);
  plan.add(affine(x, 2, 0));
  await plan.ready();
  plan.add(affine(x, 1, 1));
  const refusal = new Error('Cannot run kernel "affine": its plan is not ready');
  assert.throws(() => runPlans(gpu, [plan]), refusal);
  if (gpu.hasTimestamps) await assert.rejects(plan.profile(), refusal);
  await plan.ready();
  runPlans(gpu, [plan]);
  assert.deepEqual([...await readTensor(gpu, x)], [3]);
});

gpuTest("Plan.add() refuses a grid that WebGPU does not allow", (gpu) => {
  const plan = new Plan(gpu);
  const x = createTensor(gpu, [4]);
  const most = gpu.device.limits.maxComputeWorkgroupsPerDimension;
  for (const groups of [[most + 1, 1, 1], [1, 0, 1], [1, 1, NaN], [-1, 1, 1]] as const) {
    assert.throws(
      () => plan.add(affine(x, 1, 0, { groups })),
      new RangeError(
        `Cannot run kernel "affine" on (${groups}) workgroups: each must be 1 to ${most}`,
      ),
    );
  }
  return Promise.resolve();
});

gpuTest("Plan.add() that throws hides no later error", async (gpu) => {
  const plan = new Plan(gpu);
  const x = createTensor(gpu, [4]);
  assert.throws(() => plan.add(affine(x, 1, 0, { types: { Other: "f16" } })), TypeError);
  assert.throws(() => plan.add(affine(x, NaN, 0)), TypeError);
  gpu.device.createBuffer({ size: 16, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.STORAGE });
  await assert.rejects(readTensor(gpu, x), /^Error: GPU error: /);
});

gpuTest("Plan compiles a kernel once for each set of constants", async (gpu) => {
  const [x, y] = [createTensor(gpu, [4]), createTensor(gpu, [4])];
  await runOnce(gpu, (plan) => {
    plan.add(affine(x, 1, 2));
    plan.add(affine(y, 1, 2));
    assert.equal(gpu.pipelines.size, 1);
    plan.add(affine(y, 1, 3));
    assert.equal(gpu.pipelines.size, 2);
  });
  assert.deepEqual([...await readTensor(gpu, x)], [2, 2, 2, 2]);
  assert.deepEqual([...await readTensor(gpu, y)], [5, 5, 5, 5]);
});

gpuTest("Plan.copy() happens between the kernels before and after it", async (gpu) => {
  const x = uploadTensor(gpu, Float32Array.of(1, 2, 3, 4), [4]);
  const whole = createTensor(gpu, [70]);
  const y = viewTensor(gpu, whole, { start: 64, shape: [6] });
  await runOnce(gpu, (plan) => {
    plan.add(affine(x, 10, 0));
    plan.copy({ from: x, fromStart: 1, to: y, toStart: 2, count: 3 });
    plan.add(affine(x, 10, 0));
    plan.copy({ from: x, to: y, count: 1 });
    plan.copy({ from: y, fromStart: 2, to: x, toStart: 3, count: 1 });
  });
  assert.deepEqual([...await readTensor(gpu, y)], [100, 0, 20, 30, 40, 0]);
  assert.deepEqual([...await readTensor(gpu, x)], [100, 200, 300, 20]);
  assert.deepEqual((await readTensor(gpu, whole)).subarray(0, 64), new Float32Array(64));
});

gpuTest("Plan.copy() refuses parts that are not there, other types and parts of words", (gpu) => {
  const plan = new Plan(gpu);
  const x = createTensor(gpu, [2, 4]);
  const half = createTensor(gpu, [8], "f16");
  assert.throws(
    () => plan.copy({ from: x, fromStart: 5, to: x, toStart: 0, count: 4 }),
    new RangeError("Cannot copy 4 elements from 5 of (2,4) f32 to 0 of (2,4) f32"),
  );
  for (
    const bad of [
      { from: x, to: x, toStart: 5, count: 4 },
      { from: x, to: x, fromStart: -1, count: 1 },
      { from: x, to: x, toStart: -1, count: 1 },
      { from: x, to: x, count: -1 },
      { from: x, to: x, count: NaN },
      { from: x, to: half, count: 4 },
      { from: half, to: half, count: 3 },
      { from: half, to: half, fromStart: 1, count: 4 },
      { from: half, to: half, toStart: 3, count: 4 },
    ]
  ) {
    assert.throws(() => plan.copy(bad), RangeError, JSON.stringify(bad));
  }
  plan.copy({ from: half, fromStart: 2, to: createTensor(gpu, [6], "f16"), count: 6 });
  return Promise.resolve();
});

gpuTest("encodePlans() encodes plans in order, then what comes after", async (gpu) => {
  const x = uploadTensor(gpu, Float32Array.of(1), [1]);
  const seen = createTensor(gpu, [1]);
  const [double, increment] = [new Plan(gpu), new Plan(gpu)];
  double.add(affine(x, 2, 0));
  increment.add(affine(x, 1, 1));
  await Promise.all([double.ready(), increment.ready()]);
  const encoded = encodePlans(gpu, [double, increment, double], (encoder) => {
    encoder.copyBufferToBuffer(x.buffer, 0, seen.buffer, 0, 4);
  });
  assert.equal(encoded.length, 1);
  submit(gpu, encoded);
  runPlans(gpu, [increment, double]);
  assert.deepEqual([...await readTensor(gpu, seen)], [6]); // (1 * 2 + 1) * 2
  assert.deepEqual([...await readTensor(gpu, x)], [14]);
});

gpuTest(
  "encodePlans() cuts work so long that a system would stop a GPU, but no CPU",
  async (gpu) => {
    const x = uploadTensor(gpu, Float32Array.of(1), [1]);
    const plan = new Plan(gpu);
    const flops = [2e11, 2e11, 2e11, 0, 3e11, 9e11, 1];
    flops.forEach((flops, i) => plan.add(affine(x, 2, i, { flops })));
    await plan.ready();
    assert.equal(encodePlans({ ...gpu, isCpu: true }, [plan]).length, 1);
    const encoded = encodePlans({ ...gpu, isCpu: false }, [plan]);
    assert.equal(encoded.length, 4); // 2 + 2, 2 + 0 + 3, 9, 1
    submit(gpu, encoded);
    const expected = flops.reduce((value, _, i) => 2 * value + i, 1);
    assert.deepEqual([...await readTensor(gpu, x)], [expected]);
  },
);

gpuTest({ name: "Plan.profile() cuts work as long too", needs: ["timestamps"] }, async (gpu) => {
  const submitsOf = async (isCpu: boolean) => {
    const device: Gpu = { ...gpu, isCpu };
    const plan = new Plan(device);
    for (const flops of [4e11, 0, 4e11, 4e11]) {
      plan.add(affine(createTensor(gpu, [1]), 2, 0, { flops }));
    }
    await plan.ready();
    await tickMs(device); // looks at the clock, once
    const { submit } = gpu.device.queue;
    let submits = 0;
    gpu.device.queue.submit = (commands) => (submits++, submit.call(gpu.device.queue, commands));
    const [row] = await plan.profile();
    gpu.device.queue.submit = submit;
    assert.equal(row!.calls, 4);
    assert.equal(row!.flops, 12e11);
    return submits;
  };
  assert.equal(await submitsOf(true), 1);
  assert.equal(await submitsOf(false), 3);
  assert.deepEqual(await new Plan(gpu).profile(), [], "nothing is no submit");
});

gpuTest("a plan with a kernel that does not compile never runs", async (gpu) => {
  const plan = new Plan(gpu);
  plan.add(
    affine(createTensor(gpu, [4]), 1, 0, { label: "broken", code: CODE.replace("PLUS);", ";") }),
  );
  await assert.rejects(plan.ready(), SyntaxError);
  assert.throws(() => runPlans(gpu, [plan]), /^SyntaxError: Cannot compile kernel "broken": /);
  checkGpu(gpu);
});

gpuTest("runPlans() throws what the run before it did wrong", async (gpu) => {
  const x = createTensor(gpu, [4]);
  const plan = new Plan(gpu);
  plan.add(affine(x, 1, 1));
  await plan.ready();
  destroyTensor(gpu, x);
  runPlans(gpu, [plan]);
  await new Promise((resolve) => setTimeout(resolve));
  assert.throws(() => runPlans(gpu, [plan]), /^Error: GPU error: /);
});

gpuTest("a replay makes nothing on the device", async (gpu) => {
  const [x, y] = [createTensor(gpu, [4]), createTensor(gpu, [4])];
  const plan = new Plan(gpu);
  plan.add(affine(x, 1, 1));
  plan.copy({ from: x, to: y, count: 4 });
  plan.add(affine(y, 1, 1));
  await plan.ready();
  const before = { ...gpu.memory, pipelines: gpu.pipelines.size };
  const made = await madeBy(gpu, () => {
    for (let i = 0; i < 100; i++) runPlans(gpu, [plan]);
  });
  assert.deepEqual(made, []);
  assert.deepEqual({ ...gpu.memory, pipelines: gpu.pipelines.size }, before);
  assert.deepEqual([...await readTensor(gpu, y)], [101, 101, 101, 101]);
  assert.deepEqual(await madeBy(gpu, () => void createTensor(gpu, [4])), ["Buffer"]);
});

gpuTest({
  name: "Plan.profile() counts a tensor once that a kernel binds twice",
  needs: ["timestamps"],
}, async (gpu) => {
  const [dy, gate, dgate, dvalue] = Array.from({ length: 4 }, () => createTensor(gpu, [4, 8]));
  const plan = new Plan(gpu);
  swigluBackward(plan, { dy: dy!, gate: gate!, value: dy!, dgate: dgate!, dvalue: dvalue! });
  await plan.ready();
  const [row] = await plan.profile();
  assert.equal(row!.bytes, 4 * 4 * 8 * 4);
});

gpuTest({
  name: "Plan.profile() runs once and sums by label, the longest first",
  needs: ["timestamps"],
}, async (gpu) => {
  const [x, y] = [createTensor(gpu, [4]), createTensor(gpu, [4])];
  const large = createTensor(gpu, [2 ** 16]);
  const plan = new Plan(gpu);
  const count = 1100; // more than fit a query set
  plan.copy({ from: x, to: y, count: 4 });
  for (let i = 0; i < count; i++) {
    plan.add(affine(x, 1, 1, { label: "many", tensors: [x], flops: 8, bytes: 32 }));
  }
  plan.copy({ from: x, to: y, count: 4 });
  plan.add(affine(large, 1, 1, { label: "large" }));
  await plan.ready();
  const start = performance.now();
  const rows = await plan.profile();
  const wall = performance.now() - start;
  assert.deepEqual([...await readTensor(gpu, y)], Array(4).fill(count));
  const byLabel = Object.fromEntries(rows.map(({ label, ms: _, ...rest }) => [label, rest]));
  assert.deepEqual(byLabel, {
    large: { calls: 1, flops: 0, bytes: 2 ** 18 }, // by default every bound tensor once
    many: { calls: count, flops: 8 * count, bytes: 32 * count },
  });
  // Milliseconds: a thousand times more or less would not fit between these.
  for (const { label, ms } of rows) assert(ms > 0 && ms < 5 * wall, `${label}: ${ms} ms`);
  assert(rows[0]!.ms > wall / 1000, `${rows[0]!.ms} of ${wall} ms`);
  assert(rows[0]!.ms >= rows[1]!.ms);
});

gpuTest({
  name: "Plan.profile() leaves nothing on the device",
  needs: ["timestamps"],
}, async (gpu) => {
  const plan = new Plan(gpu);
  plan.add(affine(createTensor(gpu, [4]), 1, 1));
  await plan.ready();
  assert.deepEqual(await leftBy(gpu, () => plan.profile()), []);
});

// A software adapter answers at once with whatever a query holds; a GPU waits until it is written.
gpuTest({
  name: "Plan.profile() resolves no query that it has not written",
  needs: ["timestamps"],
}, async (gpu) => {
  const [x, y] = [createTensor(gpu, [4]), createTensor(gpu, [4])];
  const plan = new Plan(gpu);
  plan.copy({ from: x, to: y, count: 4 });
  plan.add(affine(x, 1, 1));
  plan.copy({ from: x, to: y, count: 4 });
  await plan.ready();
  const { device } = gpu;
  await plan.profile(); // the first also looks at the clock
  const written = new Set<number | undefined>();
  const resolved: number[] = [];
  const make = device.createCommandEncoder;
  device.createCommandEncoder = () => {
    const encoder = make.call(device);
    const begin = encoder.beginComputePass;
    encoder.beginComputePass = (descriptor) => {
      const { beginningOfPassWriteIndex, endOfPassWriteIndex } = descriptor!.timestampWrites!;
      written.add(beginningOfPassWriteIndex).add(endOfPassWriteIndex);
      return begin.call(encoder, descriptor);
    };
    const resolve = encoder.resolveQuerySet;
    encoder.resolveQuerySet = (set, first, count, ...to) => {
      for (let query = first; query < first + count; query++) resolved.push(query);
      return resolve.call(encoder, set, first, count, ...to);
    };
    return encoder;
  };
  await plan.profile();
  assert.equal(resolved.length, 6);
  assert.deepEqual(resolved.filter((query) => !written.has(query)), []);
});

gpuTest({
  name: "Plan.profile() does not count placeholders",
  needs: ["timestamps"],
}, async (gpu) => {
  const x = createTensor(gpu, [4]);
  const code = `
@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@group(0) @binding(1) var<storage, read> input: array<f32>;
@group(0) @binding(2) var<storage, read_write> written: array<f32>;
@compute @workgroup_size(1) fn main() { x[0] = input[0] + written[0]; }
`;
  const plan = new Plan(gpu);
  plan.add({ ...RUN, code, tensors: [x, gpu.none, gpu.noneWritten] });
  await plan.ready();
  const [row] = await plan.profile();
  assert.equal(row!.bytes, 16);
});

gpuTest("Plan.profile() refuses an adapter without timestamps", async (gpu) => {
  const plan = new Plan({ ...gpu, hasTimestamps: false });
  await assert.rejects(
    plan.profile(),
    new Error("Cannot profile: the adapter has no timestamp-query"),
  );
});
