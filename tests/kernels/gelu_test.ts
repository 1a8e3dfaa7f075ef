import { createTensor, readTensor, uploadTensor } from "../../kernels/gpu.ts";
import { gelu, geluGrad } from "../../kernels/gelu_cpu.ts";
import geluCode from "../../kernels/gelu.wgsl" with { type: "text" };
import { runOnce } from "../../kernels/plan.ts";
import { assertClose, gpuTest } from "../testing.ts";

// Steps of 1/256 over [-8, 8), 0 among them.
const POINTS = Float32Array.from({ length: 4096 }, (_, i) => (i - 2048) / 256);
const LARGE = [-65504, -100, 100, 65504]; // where exp underflows, up to the ends of f16

for (const [name, oracle] of [["gelu", gelu], ["gelu_grad", geluGrad]] as const) {
  gpuTest(`${name}() is within 1e-6 of its oracle on [-8, 8) and far outside`, async (gpu) => {
    const points = Float32Array.of(...POINTS, ...LARGE);
    const x = uploadTensor(gpu, points, [points.length]);
    const y = createTensor(gpu, [points.length]);
    const code = `
      @group(0) @binding(0) var<storage, read> x: array<vec4f>;
      @group(0) @binding(1) var<storage, read_write> y: array<vec4f>;
      @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
        y[id.x] = ${name}(x[id.x]);
      }`;
    await runOnce(gpu, (plan) => {
      plan.add({
        label: name,
        code,
        include: [geluCode],
        tensors: [x, y],
        groups: [Math.ceil(points.length / 256), 1, 1],
      });
    });
    // erf is within 1.5e-7 by its formula; exp and the polynomial in f32 add as much again. Both
    // functions halve it; gelu multiplies by u, where u's tail takes it back: 3e-7 near u = 1.
    // Beyond, gelu rounds u itself: 2^-24 u.
    assertClose(await readTensor(gpu, y), Float64Array.from(points, oracle), {
      atol: 5e-7,
      rtol: 2 ** -23,
    });
  });
}

Deno.test("gelu() has the values of the normal distribution's tables", () => {
  // Abramowitz & Stegun 1964, table 26.1: P(0.5), P(1), P(2), P(3) 12 decimals; P(-x) = 1 - P(x).
  const table = [[0.5, 0.691462461274], [1, 0.841344746069], [2, 0.977249868052], [
    3,
    0.998650101968,
  ]] as const;
  for (const [x, p] of table) {
    assertClose([gelu(x), gelu(-x)], [x * p, -x * (1 - p)], { atol: 3e-12, rtol: 0 });
  }
  assertClose([gelu(0), gelu(40), gelu(-40)], [0, 40, 0], { atol: 0, rtol: 0 });
});

Deno.test("geluGrad() is the derivative of gelu()", () => {
  const h = 1e-5;
  const central = Float64Array.from(POINTS, (x) => (gelu(x + h) - gelu(x - h)) / (2 * h));
  // Truncation is below h^2 = 1e-10; the cdf rounds a few times, 5 * 2^-53, which |x| <= 8 scales
  // and h divides: 4.4e-10.
  assertClose(Float64Array.from(POINTS, geluGrad), central, { atol: 1e-9, rtol: 1e-6 });
});
