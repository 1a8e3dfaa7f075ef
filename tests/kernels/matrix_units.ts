/**
 * Matrix units for tests, where the adapter has none as these kernels want them: all of a kernel but
 * its operations on fragments, in whose place others stand. Those are made of smaller matrices under
 * Dawn with Mesa's software adapter (26.2 has them, 25.0 not), and else of plain WGSL.
 *
 * On hardware that has them, `gemm_test.ts` and `attention_test.ts` run the kernels as they are;
 * that Tint accepts them is in `dawn_test.ts`.
 *
 * @module
 */
import assert from "node:assert/strict";
import { type Gpu, MATRIX_UNITS } from "../../kernels/gpu.ts";
import { withMethods } from "./replaced.ts";

/** The part of a kernel's source that is replaced. */
export const FRAGMENT: string = await Deno.readTextFile(
  new URL("../../kernels/matrix_fragment.wgsl", import.meta.url),
);

// Of a sum, each of 32 lanes, of which it is `member`, holds 8 elements of a row; of a left operand
// the row; a right one stays where it lies until it is multiplied. `steps` is 16, which the compiler
// cannot know: unrolled, every case takes seconds.
const PLAIN = /* wgsl */ `
alias Left = array<vec4f, 4>;
struct Right { place: u32, is_down: bool }
alias Sum = array<vec4f, 2>;

var<private> member: u32;
var<private> steps: u32;

fn half_at(place: u32, i: u32) -> f32 { return f32(halves[place + i / 4][i % 4]); }

fn left_at(place: u32) -> Left {
  let own = place + member / 2 * STRIDE;
  return Left(
    vec4f(halves[own]), vec4f(halves[own + 1]), vec4f(halves[own + 2]), vec4f(halves[own + 3]),
  );
}

fn left_down(place: u32) -> Left {
  var result: Left;
  for (var k = 0u; k < steps; k++) {
    result[k / 4][k % 4] = half_at(place + k * STRIDE, member / 2);
  }
  return result;
}

fn right_at(place: u32) -> Right { return Right(place, false); }

fn right_down(place: u32) -> Right { return Right(place, true); }

fn own_of(place: u32) -> u32 { return place + member / 2 * SUMS_STRIDE + member % 2 * 2; }

fn sum_at(place: u32) -> Sum { return Sum(sums[own_of(place)], sums[own_of(place) + 1]); }

fn store_sum(sum: Sum, place: u32) {
  sums[own_of(place)] = sum[0];
  sums[own_of(place) + 1] = sum[1];
}

fn add_product(left: Left, right: Right, sum: Sum) -> Sum {
  var result = sum;
  var l = left;
  if (right.is_down) {
    let row = right.place + member % 2 * 8 * STRIDE;
    for (var i = 0u; i < steps / 2; i++) {
      let at = row + i * STRIDE;
      result[i / 4][i % 4] += dot(l[0], vec4f(halves[at])) + dot(l[1], vec4f(halves[at + 1])) +
        dot(l[2], vec4f(halves[at + 2])) + dot(l[3], vec4f(halves[at + 3]));
    }
  } else {
    for (var k = 0u; k < steps; k++) {
      let at = right.place + k * STRIDE + member % 2 * 2;
      result[0] += l[k / 4][k % 4] * vec4f(halves[at]);
      result[1] += l[k / 4][k % 4] * vec4f(halves[at + 1]);
    }
  }
  return result;
}
`;

// Four subgroups of 8 lanes are one of 32: `member` of them holds a quarter of each sum, and of
// operands the half of their rows (columns) that it takes.
const SMALLER = /* wgsl */ `
alias Left8 = subgroup_matrix_left<Element, 8, 8>;
alias Right8 = subgroup_matrix_right<Element, 8, 8>;
alias Sum = subgroup_matrix_result<f32, 8, 8>;
struct Left { k0: Left8, k8: Left8 }
struct Right { k0: Right8, k8: Right8 }

var<private> member: u32;

fn left_at(place: u32) -> Left {
  let own = place + member / 2 * 8 * STRIDE;
  return Left(
    subgroupMatrixLoad<Left8, row_major>(&halves, own, STRIDE),
    subgroupMatrixLoad<Left8, row_major>(&halves, own + 2, STRIDE),
  );
}

fn left_down(place: u32) -> Left {
  let own = place + member / 2 * 2;
  return Left(
    subgroupMatrixLoad<Left8, col_major>(&halves, own, STRIDE),
    subgroupMatrixLoad<Left8, col_major>(&halves, own + 8 * STRIDE, STRIDE),
  );
}

fn right_at(place: u32) -> Right {
  let own = place + member % 2 * 2;
  return Right(
    subgroupMatrixLoad<Right8, row_major>(&halves, own, STRIDE),
    subgroupMatrixLoad<Right8, row_major>(&halves, own + 8 * STRIDE, STRIDE),
  );
}

fn right_down(place: u32) -> Right {
  let own = place + member % 2 * 8 * STRIDE;
  return Right(
    subgroupMatrixLoad<Right8, col_major>(&halves, own, STRIDE),
    subgroupMatrixLoad<Right8, col_major>(&halves, own + 2, STRIDE),
  );
}

fn own_of(place: u32) -> u32 { return place + member / 2 * 8 * SUMS_STRIDE + member % 2 * 2; }

fn sum_at(place: u32) -> Sum {
  return subgroupMatrixLoad<Sum, row_major>(&sums, own_of(place), SUMS_STRIDE);
}

fn store_sum(sum: Sum, place: u32) {
  subgroupMatrixStore<row_major>(&sums, own_of(place), sum, SUMS_STRIDE);
}

fn add_product(left: Left, right: Right, sum: Sum) -> Sum {
  let result = subgroupMatrixMultiplyAccumulate(left.k0, right.k0, sum);
  return subgroupMatrixMultiplyAccumulate(left.k8, right.k8, result);
}
`;

type Replacement = readonly [from: string, to: string];

/** Where a kernel begins: that of `gemm_matrix.wgsl`, or those of attention. */
const starts = (setUp: string): Replacement[] => [
  ["  @builtin(subgroup_id) subgroup: u32,\n) {", `) {\n  let subgroup = lane / 32;\n  ${setUp}`],
  ["  lane = index;\n", `  lane = index;\n  ${setUp}\n`],
];

/** What makes a kernel one that an adapter without matrix units runs, with any subgroups. */
const WITH_PLAIN: readonly Replacement[] = [
  [FRAGMENT, PLAIN],
  ["enable chromium_experimental_subgroup_matrix;\n", ""],
  ["diagnostic(off, chromium.subgroup_matrix_uniformity);\n", ""],
  ...starts("member = lane % 32; steps = 16 + lane / 128;"),
];
const WITH_SMALLER: readonly Replacement[] = [
  [FRAGMENT, SMALLER],
  ...starts("member = lane / 8 % 4;"),
];
/** And one that an adapter without f16 runs. */
const WITHOUT_F16: readonly Replacement[] = [
  ["enable f16;\n", ""],
  ["alias Element = f16;", "alias Element = f32;"],
  ["return vec4<Element>(", "return quantizeToF16("],
];

/** Whether the device multiplies matrices of 8 × 8. */
export function hasSmaller({ device, hasF16, subgroupMinSize }: Gpu): boolean {
  return hasF16 && device.features.has(MATRIX_UNITS) && subgroupMinSize === 8;
}

/** The device if it has matrix units, else one that compiles their kernels as an emulation. */
export function withMatrices(gpu: Gpu): Gpu {
  if (gpu.hasMatrix) return gpu;
  const isSmaller = hasSmaller(gpu);
  const replacements = [
    ...isSmaller ? WITH_SMALLER : WITH_PLAIN,
    ...gpu.hasF16 ? [] : WITHOUT_F16,
  ];
  const createShaderModule = ({ code }: GPUShaderModuleDescriptor) => {
    if (code.includes(FRAGMENT)) {
      for (const [from, to] of replacements) code = code.replaceAll(from, to);
      assert.match(code, / member = /); // one of the starts was replaced
    }
    return gpu.device.createShaderModule({ code });
  };
  const device = withMethods(gpu.device, { createShaderModule });
  return { ...gpu, device, hasMatrix: true, pipelines: new Map() };
}
