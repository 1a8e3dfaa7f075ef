import assert from "node:assert/strict";
import {
  checkClose,
  interleave,
  type KernelCase,
  settled,
  summarise,
  timeCases,
} from "../../bench/measure.ts";
import { createTensor, type Gpu, readTensor } from "../../kernels/gpu.ts";
import { gpuTest } from "../testing.ts";

Deno.test("summarise() finds minimum and median", () => {
  assert.deepEqual(summarise([5, 1, 100]), { min: 1, median: 5 });
  assert.deepEqual(summarise([7]), { min: 7, median: 7 });
  assert.throws(() => summarise([]), /^RangeError: Cannot summarise samples: there are 0/);
});

Deno.test("interleave() lets tasks take turns and sorts samples by task", async () => {
  const order: string[] = [];
  const task = (name: string) => () => {
    order.push(name);
    return Promise.resolve(`${name}${order.length}`);
  };
  assert.deepEqual(await interleave(2, [task("a"), task("b")]), [["a1", "a3"], ["b2", "b4"]]);
});

Deno.test("checkClose() refuses what is too far, and NaN", () => {
  checkClose([1, 2], [1, 2.0001], 1e-3);
  for (const actual of [[1, 2.1], [1, NaN]]) {
    assert.throws(() => checkClose(actual, [1, 2], 1e-3), /RangeError: its relative L2 error is/);
  }
});

/** Writes `value` to four elements; 8 FLOP and 16 bytes, says the case. */
function fillCase(gpu: Gpu, value: number): KernelCase {
  const y = createTensor(gpu, [4]);
  return {
    name: "fill",
    record: (plan) =>
      plan.add({
        label: "fill",
        code: `
          override VALUE: f32 = 0;
          @group(0) @binding(0) var<storage, read_write> y: array<f32>;
          @compute @workgroup_size(4)
          fn main(@builtin(local_invocation_index) lane: u32) { y[lane] = VALUE; }`,
        constants: { VALUE: value },
        tensors: [y],
        groups: [1, 1, 1],
        flops: 8,
      }),
    check: async () => checkClose(await readTensor(gpu, y), [7, 7, 7, 7], 0),
  };
}

gpuTest({
  name: "timeCases() gives times, work and traffic of one call",
  needs: ["timestamps"],
}, async (gpu) => {
  const [time, ...others] = await timeCases(gpu, [fillCase(gpu, 7)], 2);
  assert.equal(others.length, 0);
  assert.deepEqual([time!.name, time!.flops, time!.bytes], ["fill", 8, 16]);
  assert(time!.gpu.min > 0 && time!.gpu.min <= time!.gpu.median);
  assert(time!.wall.min > time!.gpu.min);
});

Deno.test("settled() goes on while it gets faster, and returns the fastest", async () => {
  const walls = [10, 5, 4, 4.1, 1];
  let calls = 0;
  const measure = () => Promise.resolve({ wall: walls[calls++]! });
  assert.deepEqual(await settled(measure, 0), { wall: 4 });
  assert.equal(calls, 4);
});

gpuTest({
  name: "timeCases() does not time a wrong result",
  needs: ["timestamps"],
}, async (gpu) => {
  await assert.rejects(
    timeCases(gpu, [fillCase(gpu, 8)], 1),
    /^Error: Cannot time fill: its relative L2 error is 0\.14/,
  );
});
