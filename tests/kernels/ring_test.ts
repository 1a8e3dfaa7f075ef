import assert from "node:assert/strict";
import {
  createTensor,
  type Gpu,
  type Tensor,
  uploadTensor,
  viewTensor,
  writeTensor,
} from "../../kernels/gpu.ts";
import { runPlans } from "../../kernels/plan.ts";
import { Ring } from "../../kernels/ring.ts";
import { gpuTest } from "../testing.ts";
import { madeBy } from "./made.ts";

/** Writes a value to the tensor and copies it to the ring, in one submit. */
function put(gpu: Gpu, ring: Ring, tensor: Tensor, ...values: number[]): void {
  writeTensor(gpu, tensor, Float32Array.from(values));
  runPlans(gpu, [], (encoder) => ring.copy(encoder));
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
  runPlans(gpu, [], (encoder) => ring.copy(encoder));
  const [values] = await ring.take();
  assert.deepEqual([...values!], [128, 129, 130]);
  ring.destroy();
});

gpuTest("Ring.copy() refuses when all slots are full, and loses nothing", async (gpu) => {
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
