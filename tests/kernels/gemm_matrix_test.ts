/**
 * The GEMM for matrix units, which no software adapter has: all of it but the operations on
 * fragments, in whose place plain WGSL stands here. On hardware that has them, `gemm_test.ts` runs
 * the kernel as it is; that Tint accepts it is in `dawn_test.ts`.
 *
 * @module
 */
import assert from "node:assert/strict";
import { gemm } from "../../kernels/gemm.ts";
import { defaultLayout } from "../../kernels/gemm_layout.ts";
import { createTensor, type DType, type Gpu } from "../../kernels/gpu.ts";
import { Plan } from "../../kernels/plan.ts";
import { startTuning, tune } from "../../kernels/tune.ts";
import { gpuTest } from "../testing.ts";
import { CASES, checkCases } from "./gemm_cases.ts";

const FRAGMENT = await Deno.readTextFile(
  new URL("../../kernels/gemm_matrix_fragment.wgsl", import.meta.url),
);

// Of a sum, each of 32 lanes holds 8 elements of a row; an operand stays where it lies until it is
// multiplied. `steps` is 16, which the compiler cannot know: unrolled, every case takes seconds.
const EMULATED = /* wgsl */ `
alias Sum = array<vec4f, 2>;

var<private> member: u32;
var<private> steps: u32;

fn left_at(place: u32) -> u32 { return place; }

fn right_at(place: u32) -> u32 { return place; }

fn sum_at(place: u32) -> Sum {
  let own = place + member * 2;
  return Sum(sums[own], sums[own + 1]);
}

fn store_sum(sum: Sum, place: u32) {
  let own = place + member * 2;
  sums[own] = sum[0];
  sums[own + 1] = sum[1];
}

fn add_product(left: u32, right: u32, sum: Sum) -> Sum {
  var result = sum;
  let row = member / 2;
  let column4 = member % 2 * 2;
  for (var k = 0u; k < steps; k++) {
    let l = f32(rows_tile[left + k * STRIDE + row / 4][row % 4]);
    result[0] += l * vec4f(columns_tile[right + k * STRIDE + column4]);
    result[1] += l * vec4f(columns_tile[right + k * STRIDE + column4 + 1]);
  }
  return result;
}
`;

/** What makes the kernel one that an adapter without matrix units runs, with any subgroups. */
const REPLACED: readonly [string, string][] = [
  [FRAGMENT, EMULATED],
  ["enable chromium_experimental_subgroup_matrix;\n", ""],
  [
    "  @builtin(subgroup_id) subgroup: u32,\n) {",
    ") {\n  let subgroup = lane / 32;\n  member = lane % 32;\n  steps = 16 + lane / 128;",
  ],
];
/** And one that an adapter without f16 runs. */
const WITHOUT_F16: readonly [string, string][] = [
  ["enable f16;\n", ""],
  ["alias Element = f16;", "alias Element = f32;"],
  ["return vec4<Element>(", "return quantizeToF16("],
];

/** The device, but it compiles matrix kernels as their emulation. */
function emulating({ device, hasF16 }: Gpu): GPUDevice {
  const createShaderModule = ({ code }: GPUShaderModuleDescriptor) => {
    if (!code.includes(FRAGMENT)) return device.createShaderModule({ code }); // a join
    for (const [from, to] of [...REPLACED, ...hasF16 ? [] : WITHOUT_F16]) {
      assert(code.includes(from), `The kernel has no "${from}"`);
      code = code.replaceAll(from, to);
    }
    return device.createShaderModule({ code });
  };
  return new Proxy(device, {
    get(target, key) {
      if (key === "createShaderModule") return createShaderModule;
      const value = Reflect.get(target, key);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

gpuTest(`gemm() matches the oracle on ${CASES} cases, matrix units emulated`, async (gpu) => {
  await checkCases({ ...gpu, device: emulating(gpu) }, "matrix 64x64");
});

Deno.test("defaultLayout() takes matrix units where operands are stored as f16", () => {
  const layout = (hasMatrix: boolean, isHalf: boolean) =>
    defaultLayout({ hasMatrix, isCpu: false } as Gpu, { m: 64, n: 64, k: 64, isHalf });
  assert.equal(layout(true, true), "matrix 64x64");
  assert.equal(layout(true, false), "tile 64x64");
  assert.equal(layout(false, true), "tile 64x64");
});

gpuTest("gemm() takes matrix units for f16 operands, tuned or not", async (gpu) => {
  if (!gpu.hasF16) return;
  const units = { ...gpu, hasMatrix: true, device: emulating(gpu), pipelines: new Map() };
  const make = (dtype: DType) => createTensor(gpu, [8, 8], dtype);
  const layoutOf = async (
    types: Partial<Record<"a" | "b" | "a2" | "b2", DType>>,
    roundsB = false,
  ) => {
    units.pipelines.clear();
    const { a, b, a2, b2 } = types;
    const plan = new Plan(units);
    gemm(plan, {
      form: "nt",
      c: make("f32"),
      roundsB,
      ...(a && b ? { a: make(a), b: make(b) } : {}),
      ...(a2 && b2 ? { second: { a: make(a2), b: make(b2), scale: 1 } } : {}),
    });
    await plan.ready();
    const sources = [...units.pipelines.keys()];
    assert.equal(sources.length, 1);
    return sources[0]!.includes(FRAGMENT) ? "matrix" : "other";
  };
  startTuning(units, { level: "full", answers: new Map() });
  assert.equal(await layoutOf({ a: "f16", b: "f16" }), "matrix");
  assert.equal(await layoutOf({ a: "f16", b: "f16", a2: "f16", b2: "f32" }), "matrix");
  assert.equal(await layoutOf({ a2: "f16", b2: "f32" }), "matrix");
  assert.equal(await layoutOf({ a: "f16", b: "f32" }, true), "matrix");
  assert.equal(await tune(units), 0); // nothing to try
  assert.equal(await layoutOf({ a: "f32", b: "f16" }), "other");
  assert.equal(await layoutOf({ a: "f16", b: "f32" }), "other");
  assert.equal(await layoutOf({ a2: "f32", b2: "f32" }), "other");
  assert.equal(await layoutOf({ a: "f32", b: "f32" }, true), "other");
});
