import assert from "node:assert/strict";
import {
  createTensor,
  type DType,
  type Gpu,
  readTensor,
  type Tensor,
  uploadTensor,
  viewTensor,
  writeTensor,
} from "../../kernels/gpu.ts";
import { activate } from "../../kernels/activate.ts";
import { grid1d } from "../../kernels/grid.ts";
import { layerNorm, layerNormBackward } from "../../kernels/layer_norm.ts";
import { declareOperands } from "../../kernels/operands.ts";
import { type KernelRun, Plan, runOnce, runPlans } from "../../kernels/plan.ts";
import { swiglu, swigluBackward } from "../../kernels/swiglu.ts";
import { fitsTexels, texelBytes } from "../../kernels/texels.ts";
import { gpuTest, uniform } from "../testing.ts";
import { madeBy } from "./made.ts";
import { assertSameBits } from "./same_bits.ts";

/** y = x from `start` on in f32, read as a texture or as a buffer. */
function copyRun(x: Tensor, y: Tensor, { readsTexels = true, start = 0 } = {}): KernelRun {
  const size = y.shape[0]! / 4;
  const type = x.dtype;
  const { source, asTexels } = declareOperands(
    [{ name: "x", binding: 1, type, tensor: x }],
    readsTexels,
  );
  return {
    label: "copy",
    include: [source],
    code: `
@group(0) @binding(0) var<storage, read_write> y: array<vec4f>;
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32) {
  let i = (group.y * groups.x + group.x) * 64 + lane;
  if (i < ${size}) { y[i] = x_at(i + ${start / 4}); }
}`,
    tensors: [y, x],
    asTexels,
    groups: grid1d(size, 64),
  };
}

/** What the kernel makes of each tensor, in one submit. */
async function copies(gpu: Gpu, tensors: Tensor[]): Promise<Float32Array[]> {
  const plan = new Plan(gpu);
  const results = tensors.map((x) => {
    const y = createTensor(gpu, [x.shape[0]!]);
    plan.add(copyRun(x, y));
    return y;
  });
  await plan.ready();
  runPlans(gpu, [plan]);
  return await Promise.all(results.map((y) => readTensor(gpu, y)));
}

const ROW = 4 * 1024; // elements in a row of texels
const ROW_BYTES = 4 * (ROW + 4 * 4); // in f32, and what ends it
const MOST = 8192 * ROW;

for (const dtype of ["f32", "f16"] as const) {
  gpuTest({
    name: `tensors of every length are read as textures, ${dtype}`,
    needs: [dtype],
  }, async (gpu) => {
    // The larger first: what it leaves behind in the texture must not be seen.
    const sizes = [4 * ROW, 3 * ROW - 4, 2 * ROW + 8, ROW + 4, ROW, ROW - 4, 4];
    const values = sizes.map((size, seed) => {
      const numbers = uniform(size, seed);
      // GPUs may take the least numbers for 0.
      numbers.set([-0, gpu.isCpu ? 2 ** -149 : 2 ** -126, -(2 ** 127), Infinity]);
      return dtype === "f16" ? new Float32Array(new Float16Array(numbers)) : numbers;
    });
    const tensors = values.map((x) => uploadTensor(gpu, x, [x.length], dtype));
    const results = await copies(gpu, tensors);
    for (const [i, result] of results.entries()) {
      const at = result.findIndex((x, j) => !Object.is(x, values[i]![j]));
      assert.equal(at, -1, `${sizes[i]} elements: number ${at} is ${result[at]}`);
    }
  });
}

gpuTest({
  name: "halves are widened exactly: all that are no NaN",
  needs: ["f16"],
}, async (gpu) => {
  const halves = new Float16Array(Uint16Array.from({ length: 2 ** 16 }, (_, bits) => bits).buffer);
  const wanted = new Float32Array(halves);
  const [result] = await copies(gpu, [uploadTensor(gpu, wanted, [2 ** 16], "f16")]);
  const at = wanted.findIndex((x, i) => !Number.isNaN(x) && !Object.is(x, result![i]));
  assert.equal(at, -1, `${wanted[at]} is read as ${result![at]}`);
  assert(wanted.every((x, i) => Number.isNaN(x) === Number.isNaN(result![i])));
});

gpuTest("a view is read from where it starts", async (gpu) => {
  const values = uniform(ROW + 640, 1);
  const whole = uploadTensor(gpu, values, [values.length]);
  const view = viewTensor(gpu, whole, { start: 576, shape: [ROW + 64] });
  const [result] = await copies(gpu, [view]);
  assert.deepEqual(result, values.slice(576, 576 + ROW + 64));
});

gpuTest("tensors written by a kernel of the same plan are read as they then are", async (gpu) => {
  const [x, y, z] = [4, 4, 4].map((size, seed) => uploadTensor(gpu, uniform(size, seed), [size]));
  const plan = new Plan(gpu);
  plan.add(copyRun(x!, y!));
  plan.add(copyRun(y!, z!));
  await plan.ready();
  runPlans(gpu, [plan]);
  assert.deepEqual(await readTensor(gpu, z!), uniform(4, 0));
});

gpuTest("kernels share one texture, as large as the largest wants it", async (gpu) => {
  const planOf = async (...sizes: number[]) => {
    const plan = new Plan(gpu);
    for (const size of sizes) plan.add(copyRun(createTensor(gpu, [size]), createTensor(gpu, [4])));
    const made = await madeBy(gpu, () => plan.ready());
    return { plan, textures: made.filter((kind) => kind === "Texture").length };
  };
  const { plan, textures } = await planOf(4, 8 * ROW + 4, ROW);
  assert.equal(textures, 1);
  assert.equal(gpu.memory.textures, 10 * ROW_BYTES, "nine rows begun are ten");
  assert.deepEqual(await madeBy(gpu, () => runPlans(gpu, [plan])), []);
  assert.equal((await planOf(10 * ROW, 4)).textures, 0, "it serves other plans");
  assert.equal((await planOf(10 * ROW + 4, 4)).textures, 1, "up to its size");
  assert.equal(gpu.memory.textures, (10 + 12) * ROW_BYTES, "those before keep theirs");
});

gpuTest({
  name: "the profile counts the copies as time of the kernel",
  needs: ["timestamps", "cpu"], // a GPU copies 8 MiB faster than it starts a kernel
}, async (gpu) => {
  const time = async (readsTexels: boolean) => {
    const plan = new Plan(gpu);
    plan.add(copyRun(createTensor(gpu, [512 * ROW]), createTensor(gpu, [4]), { readsTexels }));
    await plan.ready();
    await plan.profile();
    const rows = await Promise.all([1, 2, 3].map(() => plan.profile()));
    assert(rows.every(([row]) => row!.label === "copy" && row!.calls === 1));
    return Math.min(...rows.map(([row]) => row!.ms));
  };
  const [buffer, texture] = [await time(false), await time(true)];
  // One vec4 takes no time, 8 MiB take some.
  assert(texture > 2 * buffer, `${texture} ms with a copy of 8 MiB, ${buffer} ms without`);
});

gpuTest({
  name: "the last of a tensor that fills the largest texture is read",
  needs: ["eightLanes"],
}, async (gpu) => {
  const x = createTensor(gpu, [MOST]);
  const values = uniform(64, 1);
  writeTensor(gpu, viewTensor(gpu, x, { start: MOST - 64, shape: [64] }), values);
  const y = createTensor(gpu, [64]);
  await runOnce(gpu, (plan) => plan.add(copyRun(x, y, { start: MOST - 64 })));
  assert.deepEqual(await readTensor(gpu, y), values);
});

Deno.test("texelBytes() rounds rows up by a quarter at most, and not past the most", () => {
  const rows = (size: number) => texelBytes({ shape: [size], dtype: "f32" }) / ROW_BYTES;
  for (const size of [4, ROW, ROW + 4, 5 * ROW, 17 * ROW + 4, MOST / 2 + 4, MOST - 4, MOST]) {
    const begun = Math.ceil(size / ROW);
    assert(rows(size) >= begun && rows(size) <= 1.25 * begun, `${rows(size)} for ${begun}`);
  }
  assert.equal(rows(MOST), 8192); // what every adapter grants
});

gpuTest("Plan.add() refuses a texture of what does not fit", (gpu) => {
  const [x, y] = [createTensor(gpu, [4], "u32"), createTensor(gpu, [4])];
  const plan = new Plan(gpu);
  assert.throws(
    () => plan.add({ ...copyRun(x, y), asTexels: [1] }),
    new TypeError(
      'Cannot read (4) u32 as a texture in kernel "copy": it must be f32 or f16 and have a multiple ' +
        "of 4 elements, 33554432 at most",
    ),
  );
  return Promise.resolve();
});

Deno.test("fitsTexels() wants whole texels of floats, and not too many", () => {
  const fits = (shape: number[], dtype: DType = "f32") => fitsTexels({ shape, dtype });
  assert(fits([MOST]) && fits([4]) && fits([3, 4], "f16") && fits([64, 8192, 4], "f16"));
  assert(
    !fits([MOST + 4]) && !fits([0, 4]) && !fits([3, 3]) && !fits([4], "u32") && !fits([16], "u8"),
  );
});

gpuTest({
  name: "norms, activations and gates give the same bits from textures as from buffers",
  needs: ["eightLanes", "f16"],
}, async (gpu) => {
  const [rows, columns] = [65, 388];
  const shape = [rows, columns];
  const make = (seed: number, dtype: DType) =>
    uploadTensor(gpu, uniform(rows * columns, seed), shape, dtype);
  const vector = (seed: number) => uploadTensor(gpu, uniform(columns, seed), [columns]);
  // Types differ wherever they may, and every tensor from every other.
  const [x, residual] = [make(1, "f32"), make(2, "f32")];
  const [dy, gate, value] = [make(3, "f16"), make(4, "f16"), make(5, "f16")];
  const [weight, bias, scale] = [vector(6), vector(7), vector(8)];
  await assertSameBits(gpu, 5, async (device) => {
    const stats = createTensor(device, [rows, 2]);
    const dx = createTensor(device, shape);
    const half = () => createTensor(device, shape, "f16");
    const [y, scaled, active] = [half(), half(), half()];
    const [gated, dgate, dvalue] = [half(), half(), half()];
    await runOnce(device, (plan) => {
      layerNorm(plan, { x, weight, bias, y, stats });
      layerNormBackward(plan, { dy, x, weight, stats, residual, dx, scale, scaled });
      activate(plan, { x: gate, y: active, activation: "gelu", dropout: null });
      swiglu(plan, { gate, value, y: gated });
      swigluBackward(plan, { dy, gate, value, dgate, dvalue });
    });
    return [stats, dx, y, scaled, active, gated, dgate, dvalue];
  });
});
