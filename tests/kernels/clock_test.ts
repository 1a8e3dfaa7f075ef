import assert from "node:assert/strict";
import { readStamps, tickMs, tickOf } from "../../kernels/clock.ts";
import { closeGpu, createTensor, type Gpu, openGpu, sizeOf } from "../../kernels/gpu.ts";
import { Plan } from "../../kernels/plan.ts";
import { denoOptions, gpuTest } from "../testing.ts";
import { leftBy } from "./made.ts";

Deno.test("tickOf() takes a nanosecond wherever that can be, and else what is most likely", () => {
  // Stamps 4 ms and 1 ms after they were asked for, and read 10 ms after that.
  const looks = (tick: number) =>
    tickOf(
      { stamp: 4 / tick, before: 0, after: 10 },
      { stamp: 201 / tick, before: 200, after: 210 },
    );
  assert.equal(looks(1e-6), 1e-6);
  for (const tick of [0.5e-6, 2e-6, 1e-5, 83e-6]) {
    assert(Math.abs(looks(tick) / tick - 1) < 0.02, `${looks(tick)}`); // 200 of 197 ms
  }
});

Deno.test("tickOf() takes a nanosecond if the clock stands still or runs backwards", () => {
  const first = { stamp: 5, before: 0, after: 10 };
  for (const stamp of [5, 4]) {
    assert.equal(tickOf(first, { stamp, before: 200, after: 210 }), 1e-6);
  }
});

gpuTest("readStamps() leaves nothing when encoding fails", async (gpu) => {
  const encode = () => {
    throw new Error("no such pass");
  };
  const left = await leftBy(gpu, () => assert.rejects(readStamps(gpu, 2, encode), /no such pass/));
  assert.deepEqual(left, []);
});

gpuTest({
  name: "tickMs() finds a nanosecond on a driver that counts them, and leaves nothing",
  needs: ["timestamps"],
}, async (gpu) => {
  const look = async () => assert.equal(await tickMs(gpu), 1e-6);
  assert.deepEqual(await leftBy(gpu, look), []);
});

/** Milliseconds of a kernel by its profile. */
async function kernelMs(gpu: Gpu): Promise<number> {
  const x = createTensor(gpu, [2 ** 20]);
  const plan = new Plan(gpu);
  plan.add({
    label: "fill",
    code: `@group(0) @binding(0) var<storage, read_write> x: array<f32>;
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3u) { x[id.x] = 1.0; }`,
    tensors: [x],
    groups: [sizeOf(x.shape) / 64, 1, 1],
  });
  await plan.ready();
  const [row] = await plan.profile();
  return row!.ms;
}

const OPTIONS = denoOptions({
  name: "Plan.profile() counts in the ticks of the driver",
  needs: ["timestamps"],
});
Deno.test({
  ...OPTIONS,
  ignore: OPTIONS.ignore || Deno.env.get("GPU") === "dawn", // whose ticks are nanoseconds
  async fn() {
    const { now } = performance;
    const [right, slow] = [await openGpu(), await openGpu()];
    try {
      const ms = await kernelMs(right);
      // To a clock that runs a thousand times as fast, the driver's ticks seem as long.
      performance.now = () => 1000 * now.call(performance);
      const long = await kernelMs(slow);
      assert.ok(long > 30 * ms && long < 30_000 * ms, `${long} ms where it was ${ms}`);
    } finally {
      performance.now = now;
      closeGpu(right);
      closeGpu(slow);
    }
  },
});
