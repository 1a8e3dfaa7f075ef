import assert from "node:assert/strict";
import {
  createTensor,
  type Gpu,
  type Tensor,
  uploadTensor,
  viewTensor,
  writeTensor,
} from "../../kernels/gpu.ts";
import { Plan } from "../../kernels/plan.ts";
import { Ring } from "../../kernels/ring.ts";
import { gpuTest } from "../testing.ts";
import { leftBy, madeBy } from "./made.ts";

/** Writes a value to the tensor and runs nothing but its copy. */
function put(gpu: Gpu, ring: Ring, tensor: Tensor, ...values: number[]): void {
  writeTensor(gpu, tensor, Float32Array.from(values));
  ring.run([]);
}

gpuTest("Ring.take() returns what was copied, oldest first, and empties the ring", async (gpu) => {
  const tensor = createTensor(gpu, [2]);
  const ring = new Ring(gpu, tensor, 3);
  assert.deepEqual(await ring.take(), []);
  // Fewer than there are slots, then all of them, twice: slots are used again.
  for (const [round, copies] of [2, 3, 3, 1].entries()) {
    const wanted = Array.from({ length: copies }, (_, i) => [10 * round + i, -i]);
    for (const values of wanted) {
      assert.equal(ring.full, false);
      put(gpu, ring, tensor, ...values);
    }
    assert.equal(ring.full, copies === 3);
    assert.deepEqual((await ring.take()).map((values) => [...values]), wanted);
    assert.deepEqual(await ring.take(), []);
  }
  ring.destroy();
});

gpuTest("Ring.take() gives arrays that later copies do not change", async (gpu) => {
  const tensor = createTensor(gpu, [1]);
  const ring = new Ring(gpu, tensor, 1);
  put(gpu, ring, tensor, 1);
  const [first] = await ring.take();
  put(gpu, ring, tensor, 2);
  const [second] = await ring.take();
  assert.deepEqual([...first!, ...second!], [1, 2]);
  ring.destroy();
});

gpuTest("Ring reads a view, of any type", async (gpu) => {
  const whole = uploadTensor(gpu, Float32Array.from({ length: 131 }, (_, i) => i), [131], "f16");
  const view = viewTensor(gpu, whole, { start: 128, shape: [3] });
  const ring = new Ring(gpu, view);
  ring.run([]);
  const [values] = await ring.take();
  assert.deepEqual([...values!], [128, 129, 130]);
  ring.destroy();
});

gpuTest("Ring.run() refuses when all slots are full, and loses nothing", async (gpu) => {
  const tensor = createTensor(gpu, [1]);
  const ring = new Ring(gpu, tensor, 2);
  put(gpu, ring, tensor, 1);
  put(gpu, ring, tensor, 2);
  assert.throws(
    () => put(gpu, ring, tensor, 3),
    new RangeError("Cannot copy to a ring: all 2 slots are full"),
  );
  assert.deepEqual((await ring.take()).map(([value]) => value), [1, 2]);
  put(gpu, ring, tensor, 4);
  assert.deepEqual((await ring.take()).map(([value]) => value), [4]);
  ring.destroy();
});

gpuTest("Ring makes no buffer after its first ones", async (gpu) => {
  const tensor = createTensor(gpu, [4]);
  const ring = new Ring(gpu, tensor, 4);
  const made = await madeBy(gpu, async () => {
    for (let i = 0; i < 20; i++) {
      put(gpu, ring, tensor, i);
      if (ring.full) assert.equal((await ring.take()).length, 4);
    }
  });
  assert.deepEqual(made, []);
  ring.destroy();
});

gpuTest("Ring.destroy() frees all that the ring has made", async (gpu) => {
  const tensor = createTensor(gpu, [4]);
  assert.deepEqual(await leftBy(gpu, () => new Ring(gpu, tensor).destroy()), []);
});

gpuTest("Ring.run() runs plans before its copy, and takes what came before it", async (gpu) => {
  const [one, sum] = [uploadTensor(gpu, Float32Array.of(1), [1]), createTensor(gpu, [1])];
  const plan = new Plan(gpu);
  plan.copy({ from: one, to: sum, count: 1 });
  const ring = new Ring(gpu, sum, 2);
  const seen: number[][] = [];
  for (let i = 0; i < 9; i++) {
    writeTensor(gpu, one, Float32Array.of(i));
    const values = await ring.run([plan], { take: ring.full || i === 0 || i === 3 });
    seen.push(values.map(([value]) => value!));
  }
  assert.deepEqual(seen, [[], [], [0, 1], [2], [], [3, 4], [], [5, 6], []]);
  assert.deepEqual((await ring.take()).map(([value]) => value), [7, 8]);
  ring.destroy();
});

gpuTest(
  "Ring.run() keeps the GPU busy: encodes before it waits, submits before it reads",
  async (gpu) => {
    const calls: string[] = [];
    /** Notes when a method is called, of an object or of those that a method returns. */
    const spy = (object: object, name: string, made?: string) => {
      const methods = object as Record<string, (...args: unknown[]) => object>;
      const method = methods[name]!.bind(object);
      methods[name] = (...args) => {
        const result = method(...args);
        if (made) spy(result, made);
        else calls.push(name);
        return result;
      };
    };
    const { device } = gpu;
    spy(device, "createBuffer", "mapAsync");
    spy(device, "createCommandEncoder", "finish");
    spy(device.queue, "submit");
    const ring = new Ring(gpu, createTensor(gpu, [1]), 1);
    ring.run([]);
    calls.length = 0;
    const values = ring.run([], { take: true });
    assert.deepEqual(calls, ["finish", "mapAsync", "submit"]);
    assert.throws(
      () => ring.run([], { take: true }),
      new RangeError("Cannot copy to a ring: values that were taken are still on their way"),
    );
    assert.equal((await values).length, 1);
    assert.equal((await ring.run([], { take: true })).length, 1);
    ring.destroy();
  },
);

gpuTest("Ring throws what the device reported, when it takes and when it runs", async (gpu) => {
  const ring = new Ring(gpu, createTensor(gpu, [1]), 1);
  ring.run([]);
  const taken = ring.run([], { take: true });
  gpu.failure = new Error("GPU lost: unplugged");
  assert.throws(() => ring.run([], { take: true }), gpu.failure); // not that values are on their way
  await assert.rejects(taken, gpu.failure);
  ring.destroy();
});
