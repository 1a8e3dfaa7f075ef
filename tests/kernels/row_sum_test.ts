import assert from "node:assert/strict";
import { createTensor, type Gpu, readTensor, uploadTensor } from "../../kernels/gpu.ts";
import { runOnce } from "../../kernels/plan.ts";
import { rowGrid, rowSum } from "../../kernels/row_sum.ts";
import { gpuTest, uniform } from "../testing.ts";

const CODE = `
@group(0) @binding(0) var<storage, read> x: array<vec2f>;
@group(0) @binding(1) var<storage, read_write> y: array<vec2f>;
@compute @workgroup_size(GROUP_LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = group.x * GROUP_LANES + lane;
  y[i] = row_sum(x[i], lane);
}`;

/** Sums of 8 lanes as the tree adds them: those 4 apart, then 2, then 1. */
function treeSum(lanes: Float32Array): number {
  const add = (values: Float32Array, half: number) =>
    values.slice(0, half).map((value, i) => value + values[i + half]!); // rounds to f32
  return add(add(add(lanes, 4), 2), 1)[0]!;
}

gpuTest(
  "row_sum gives every lane of a row the same sum, with subgroups and without",
  async (gpu) => {
    const rows = 24;
    const values = uniform(16 * rows, 1);
    const expected = values.map((_, i) => {
      const [row, part] = [Math.floor(i / 16), i % 2];
      const lanes = values.slice(16 * row, 16 * row + 16).filter((_, j) => j % 2 === part);
      return treeSum(lanes);
    });
    const x = uploadTensor(gpu, values, [rows, 8, 2]);
    const variants: Pick<Gpu, "subgroupMinSize">[] = [gpu, { subgroupMinSize: 0 }, {
      subgroupMinSize: 4,
    }];
    for (const variant of variants) {
      const y = createTensor(gpu, [rows, 8, 2]);
      await runOnce(gpu, (plan) =>
        plan.add({
          ...{ label: "row_sum", code: CODE, include: [rowSum(variant)] },
          ...{ tensors: [x, y], groups: rowGrid(rows) },
        }));
      assert.deepEqual(await readTensor(gpu, y), expected, `${variant.subgroupMinSize} lanes`);
    }
  },
);

Deno.test("rowSum() does without barriers in subgroups that hold a row", () => {
  const hasBarriers = [0, 4, 8, 32, 64].map((subgroupMinSize) =>
    rowSum({ subgroupMinSize }).includes("workgroupBarrier")
  );
  assert.deepEqual(hasBarriers, [true, true, false, false, false]);
});
