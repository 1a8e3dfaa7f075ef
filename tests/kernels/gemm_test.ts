import assert from "node:assert/strict";
import { gemm } from "../../kernels/gemm.ts";
import { gemmCpu } from "../../kernels/gemm_cpu.ts";
import {
  defaultLayout,
  GEMM_LAYOUTS,
  type GemmLayout,
  layoutsFor,
} from "../../kernels/gemm_layout.ts";
import { createTensor, type Gpu, readTensor, uploadTensor } from "../../kernels/gpu.ts";
import { runOnce } from "../../kernels/plan.ts";
import { assertClose, gpuTest, uniform } from "../testing.ts";
import { CASES, checkCases, SCALE2 } from "./gemm_cases.ts";

const layouts = Object.keys(GEMM_LAYOUTS) as GemmLayout[];
const kindOf = (layout: GemmLayout) => layout.split(" ")[0] as "subgroup" | "tile" | "matrix";
const NEEDS = {
  subgroup: ["eightLanes"], // made for 8 lanes only
  tile: [],
  matrix: ["matrix"], // gemm_matrix_test.ts emulates it
} as const;

for (const layout of layouts) {
  for (const dtype of ["f32", "f16"] as const) {
    const { length } = CASES[dtype];
    gpuTest({
      name: `gemm() matches the oracle on ${length} cases in ${dtype}, layout ${layout}`,
      needs: [dtype, ...NEEDS[kindOf(layout)]],
    }, async (gpu) => {
      await checkCases(gpu, layout, dtype);
    });
  }
}

for (const kind of ["subgroup", "tile"] as const) {
  gpuTest({
    name: `gemm() gives the same bits in every ${kind} layout`,
    needs: NEEDS[kind],
  }, async (gpu) => {
    const [m, n, k] = [133, 140, 200];
    const operand = (rows: number, columns: number, seed: number) =>
      uploadTensor(gpu, uniform(rows * columns, seed), [rows, columns]);
    const results: Float32Array[] = [];
    for (const layout of layouts.filter((name) => kindOf(name) === kind)) {
      const c = createTensor(gpu, [m, n]);
      const second = { a: operand(m, 12, 3), b: operand(n, 12, 4), scale: SCALE2 };
      await runOnce(gpu, (plan) =>
        gemm(plan, {
          ...{ form: "nt", a: operand(m, k, 1), b: operand(n, k, 2), c, second, layout },
        }));
      // Tokens deep, in parts: how many must not follow from the layout.
      const deep = createTensor(gpu, [136, n]);
      const workspace = createTensor(gpu, [9, 136, n]);
      await runOnce(gpu, (plan) =>
        gemm(plan, {
          ...{ form: "tn", a: operand(900, 136, 5), b: operand(900, n, 6), c: deep },
          ...{ workspace, layout },
        }));
      results.push(
        Float32Array.of(...await readTensor(gpu, c), ...await readTensor(gpu, deep)),
      );
    }
    assert(results[0]!.every(Number.isFinite));
    for (const [i, result] of results.entries()) {
      const at = result.findIndex((x, j) => !Object.is(x, results[0]![j]));
      assert.equal(at, -1, `layout ${i} differs at ${at}: ${result[at]}, not ${results[0]![at]}`);
    }
  });
}

gpuTest({
  name: "gemm() does not see what a product before it has left in its textures",
  needs: NEEDS.subgroup,
}, async (gpu) => {
  const layout = "subgroup 32x64";
  const broken = uploadTensor(gpu, new Float32Array(80 * 80).fill(NaN), [80, 80]);
  const spoil = () =>
    runOnce(
      gpu,
      (plan) =>
        gemm(plan, {
          ...{ form: "tn", a: broken, b: broken, c: createTensor(gpu, [80, 80]), layout },
        }),
    );
  // Rows, columns and depth end inside a tile, and K inside a vec4 where it can.
  for (
    const [form, m, n, k] of [["nt", 33, 36, 20], ["nn", 33, 36, 20], ["tn", 36, 40, 65]] as const
  ) {
    const [a, b] = [uniform(m * k, 1), uniform(k * n, 2)];
    const c = createTensor(gpu, [m, n]);
    const tensors = {
      a: uploadTensor(gpu, a, form === "tn" ? [k, m] : [m, k]),
      b: uploadTensor(gpu, b, form === "nt" ? [n, k] : [k, n]),
    };
    await spoil();
    assert(gpu.memory.textures > 0, "the layout reads textures");
    await runOnce(gpu, (plan) => gemm(plan, { form, ...tensors, c, layout }));
    const expected = gemmCpu({ form, m, n, first: { a, b, k } }).c;
    // k products below 1, each of k + 2 roundings 2^-24 of a sum below k.
    assertClose(await readTensor(gpu, c), expected, { atol: (k + 2) * 2 ** -23, rtol: 2 ** -20 });
  }
});

Deno.test("defaultLayout() widens the workgroup where that pays", () => {
  const eight = { isCpu: true, subgroupMinSize: 8 } as Gpu;
  const [narrow, wide] = ["subgroup 32x32", "subgroup 32x64"];
  const layout = (m: number, n: number, k: number) =>
    defaultLayout(eight, { m, n, k, isHalf: true });
  const widths = [32, 36, 64, 68, 96, 100, 384, 416].map((n) => [n, layout(1e4, n, 1e4)]);
  assert.deepEqual(widths, [
    ...[[32, narrow], [36, wide], [64, wide], [68, narrow]],
    ...[[96, narrow], [100, wide], [384, wide], [416, wide]],
  ]);
  assert.deepEqual([layout(500, 100, 999), layout(500, 100, 1000)], [narrow, wide]);
});

Deno.test("a GPU takes layouts that its registers hold", () => {
  for (const hasManyRegisters of [true, false]) {
    const gpu = { isCpu: false, subgroupMinSize: 32, hasManyRegisters, hasMatrix: false } as Gpu;
    const layout = hasManyRegisters ? "tile 64x64" : "tile 64x64 thin";
    assert.equal(defaultLayout(gpu, { m: 1e4, n: 384, k: 1e4, isHalf: true }), layout);
    assert.equal(layoutsFor(gpu)[0], layout);
  }
});

gpuTest("gemm() refuses what does not fit", async (gpu) => {
  const t = (...shape: number[]) => createTensor(gpu, shape);
  const refuse = (record: Parameters<typeof gemm>[1], message: RegExp) =>
    assert.rejects(runOnce(gpu, (plan) => gemm(plan, record)), message);
  await refuse(
    { form: "nt", a: t(3, 8), b: t(4, 12), c: t(3, 4) },
    /^RangeError: Cannot run gemm \(nt\): b is \(4,12\) f32, it must be \(4,8\) f32$/,
  );
  await refuse(
    { form: "nt", a: t(3, 8), b: t(6, 8), c: t(3, 6) },
    /N must be a multiple of 4: current value is 6/,
  );
  await refuse({ form: "nn", c: t(4, 4) }, /there is no operand/);

  // Of a wrong type the bytes would be read as something else.
  const half = (...shape: number[]) => createTensor(gpu, shape, "f16");
  const good = { form: "nt", a: t(4, 8), b: t(4, 8), c: t(4, 4) } as const;
  const x = t(4, 4);
  const second = { a: t(4, 8), b: t(4, 8), scale: 1 };
  const site = createTensor(gpu, [4], "u32");
  await refuse(
    { ...good, bias: half(4) },
    /^TypeError: Cannot run gemm \(nt\): bias is \(4\) f16, it must be \(4\) f32$/,
  );
  await refuse({ ...good, residual: { x, gamma: half(4) } }, /^TypeError: .* residual\.gamma is/);
  await refuse({ ...good, pre: half(4, 4) }, /^TypeError: .* pre is \(4,4\) f16/);
  await refuse({ ...good, c: half(4, 4), pre: t(4, 4) }, /^TypeError: .* pre is \(4,4\) f32/);
  await refuse({ ...good, workspace: half(4, 4) }, /^TypeError: .* workspace is/);
  await refuse({ ...good, c: createTensor(gpu, [4, 4], "u32") }, /^TypeError: .* c is \(4,4\) u32/);
  await refuse(
    { ...good, second: { ...second, dropout: { rate: 0.5, site: t(4) } } },
    /^TypeError: .* dropout\.site is \(4\) f32/,
  );
  await refuse(
    { ...good, second: { ...second, dropout: { rate: 1.5, site } } },
    /^RangeError: .* rate must be in \[0, 1\): current value is 1\.5/,
  );
});
