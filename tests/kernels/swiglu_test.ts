import assert from "node:assert/strict";
import {
  createTensor,
  readTensor,
  type Tensor,
  uploadTensor,
  viewTensor,
} from "../../kernels/gpu.ts";
import { Plan, runOnce } from "../../kernels/plan.ts";
import { swiglu, swigluBackward } from "../../kernels/swiglu.ts";
import { swigluBackwardCpu, swigluCpu } from "../../kernels/swiglu_cpu.ts";
import { assertClose, gpuTest, uniform } from "../testing.ts";
import { centralGradient, dot } from "./central.ts";
import { guarded } from "./guarded.ts";

type Three = [Tensor, Tensor, Tensor];

// 64 vec4s a workgroup: below, at and past it.
const SHAPES = [[1, 4], [7, 8], [1, 256], [65, 4], [29, 1536], [3, 4096]] as const;

for (const dtype of ["f32", "f16"] as const) {
  for (const [rows, columns] of SHAPES) {
    gpuTest({
      name: `swiglu() and swigluBackward() match the oracle at (${rows}, ${columns}) in ${dtype}`,
      needs: [dtype],
    }, async (gpu) => {
      const shape = [rows, columns];
      const size = rows * columns;
      const upload = (seed: number, scale: number) =>
        uploadTensor(gpu, uniform(size, seed).map((x) => scale * x), shape, dtype);
      const gate = upload(1, 8);
      const value = upload(2, 1);
      const dy = upload(3, 1);
      const y = createTensor(gpu, shape, dtype);
      const dgate = createTensor(gpu, shape, dtype);
      const dvalue = createTensor(gpu, shape, dtype);
      await runOnce(gpu, (plan) => {
        swiglu(plan, { gate, value, y });
        swigluBackward(plan, { dy, gate, value, dgate, dvalue });
      });
      const read = (tensor: Tensor) => readTensor(gpu, tensor);
      const [u, v, d] = [await read(gate), await read(value), await read(dy)];
      const backward = swigluBackwardCpu(d, u, v);
      // exp(-|u|) errs by up to (3 + 2 |u|) ulp (WGSL, |u| <= 8), a few more roundings: 2^-19 of
      // each result, but for 1 + u (1 - s), which can cancel: 2^-19 of its terms, at most 2.
      const half = dtype === "f16";
      const allowed = { atol: half ? 2 ** -25 : 0, rtol: 2 ** -19 + (half ? 2 ** -11 : 0) };
      assertClose(await read(y), swigluCpu(u, v), allowed);
      assertClose(await read(dvalue), backward.dvalue, allowed);
      assertClose(await read(dgate), backward.dgate, { ...allowed, atol: 2 ** -18 });
    });
  }
}

gpuTest({
  name: "swiglu() and swigluBackward() write nothing past the end",
  needs: ["f16"],
}, async (gpu) => {
  const x = uploadTensor(gpu, uniform(12, 1), [3, 4], "f16");
  const [y, dgate, dvalue] = [0, 1, 2].map(() => guarded(gpu, [3, 4], "f16"));
  await runOnce(gpu, (plan) => {
    swiglu(plan, { gate: x, value: x, y: y!.view });
    swigluBackward(plan, { dy: x, gate: x, value: x, dgate: dgate!.view, dvalue: dvalue!.view });
  });
  for (const tensor of [y, dgate, dvalue]) await tensor!.check();
});

gpuTest("swiglu() and swigluBackward() fold a grid of more than 32768 workgroups", async (gpu) => {
  const folded = 4 * 64 * 32768;
  const shape = [folded / 256 + 2, 256];
  const values = uniform(folded + 512, 1);
  const x = uploadTensor(gpu, values, shape);
  const [y, dgate, dvalue] = [0, 1, 2].map(() => createTensor(gpu, shape)) as Three;
  await runOnce(gpu, (plan) => {
    swiglu(plan, { gate: x, value: x, y });
    swigluBackward(plan, { dy: x, gate: x, value: x, dgate, dvalue });
  });
  const rest = (tensor: Tensor) =>
    readTensor(gpu, viewTensor(gpu, tensor, { start: folded, shape: [512] }));
  const tail = values.subarray(folded);
  const backward = swigluBackwardCpu(tail, tail, tail);
  const allowed = { atol: 0, rtol: 2 ** -19 };
  assertClose(await rest(y), swigluCpu(tail, tail), allowed);
  assertClose(await rest(dgate), backward.dgate, allowed);
  assertClose(await rest(dvalue), backward.dvalue, allowed);
});

gpuTest("swiglu() is finite where exp overflows", async (gpu) => {
  const gate = uploadTensor(gpu, Float32Array.of(-1000, -89, 89, 1000), [1, 4]);
  const ones = uploadTensor(gpu, new Float32Array(4).fill(1), [1, 4]);
  const [y, dgate, dvalue] = [0, 1, 2].map(() => createTensor(gpu, [1, 4])) as Three;
  await runOnce(gpu, (plan) => {
    swiglu(plan, { gate, value: ones, y });
    swigluBackward(plan, { dy: ones, gate, value: ones, dgate, dvalue });
  });
  const exact = { atol: 1e-30, rtol: 0 };
  assertClose(await readTensor(gpu, y), [0, 0, 89, 1000], exact);
  assertClose(await readTensor(gpu, dgate), [0, 0, 1, 1], exact);
  assertClose(await readTensor(gpu, dvalue), [0, 0, 89, 1000], exact);
});

Deno.test("swigluBackwardCpu() is the derivative of swigluCpu()", () => {
  const gate = uniform(24, 1).map((x) => 6 * x);
  const value = uniform(24, 2);
  const dy = uniform(24, 3);
  const { dgate, dvalue } = swigluBackwardCpu(dy, gate, value);
  const tolerance = { atol: 1e-9, rtol: 1e-6 }; // rounding 2^-53 * |loss| / step
  assertClose(dgate, centralGradient((x) => dot(dy, swigluCpu(x, value)), gate), tolerance);
  assertClose(dvalue, centralGradient((x) => dot(dy, swigluCpu(gate, x)), value), tolerance);
});

gpuTest("swiglu() and swigluBackward() refuse shapes that differ", async (gpu) => {
  const plan = new Plan(gpu);
  const [a, b] = [createTensor(gpu, [2, 8]), createTensor(gpu, [2, 4])];
  assert.throws(
    () => swiglu(plan, { gate: a, value: b, y: createTensor(gpu, [2, 8]) }),
    new RangeError("Cannot run swiglu: value is (2,4) f32, it must be (2,8) f32"),
  );
  assert.throws(
    () => swigluBackward(plan, { dy: a, gate: a, value: a, dgate: b, dvalue: b }),
    new RangeError("Cannot run swiglu_backward: dgate is (2,4) f32, it must be (2,8) f32"),
  );
  await plan.ready();
});
