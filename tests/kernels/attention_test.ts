import assert from "node:assert/strict";
import {
  attention,
  attentionBackward,
  type AttentionBackwardInput,
  type AttentionVariant,
  attentionVariant,
} from "../../kernels/attention.ts";
import {
  attentionBackwardCpu,
  attentionCpu,
  type AttentionShape,
} from "../../kernels/attention_cpu.ts";
import {
  closeGpu,
  createTensor,
  type DType,
  type Gpu,
  openGpu,
  readTensor,
  uploadTensor,
} from "../../kernels/gpu.ts";
import { Plan, runOnce } from "../../kernels/plan.ts";
import { assertClose, GPU_OFF, gpuTest, relativeL2, type Tolerance, uniform } from "../testing.ts";
import { dot } from "./central.ts";
import { guarded } from "./guarded.ts";
import { hasSmaller, withMatrices } from "./matrix_units.ts";

const DIM = 64;
const ROUND = 2 ** -24; // largest relative error of one f32 operation

/** Angles unlike in every patch and dimension; quarters of a turn leave what is exact in f16 so. */
function shapeOf(
  [batch, heads, tokens]: readonly [number, number, number],
  isQuarters = false,
): AttentionShape {
  const prefix = 5;
  const turns = uniform(Math.max(0, tokens - prefix) * DIM / 2, 3).map((x) => 4 * x);
  const angles = isQuarters ? turns.map(Math.round) : turns;
  const [cos, sin] = [Math.cos, Math.sin].map((f) => angles.map((x) => f(Math.PI / 2 * x)));
  if (isQuarters) {
    [cos, sin].forEach((values) => values!.forEach((x, i) => values![i] = Math.round(x)));
  }
  return { batch, heads, tokens, prefix, cos: cos!, sin: sin! };
}

interface Case {
  shape: AttentionShape;
  qkv: Float32Array;
  dOut: Float32Array;
  dtype: DType;
  variant: Exclude<AttentionVariant, "auto">;
}

type Sizes = Parameters<typeof shapeOf>[0];

/** A case for a variant: matrix units round turned rows, so that theirs are exact. */
function caseFor(variant: Case["variant"], sizes: Sizes, dtype: DType = "f32", scale = 1): Case {
  return { ...caseOf(shapeOf(sizes, variant === "matrix"), scale), dtype, variant };
}

/** Random queries, keys, values and gradients, exact in f16; queries and keys up to `scale`. */
function caseOf(shape: AttentionShape, scale = 1): Pick<Case, "shape" | "qkv" | "dOut"> {
  const channels = shape.heads * DIM;
  const rows = shape.batch * shape.tokens;
  const exact = (values: Float32Array) => new Float32Array(new Float16Array(values));
  const qkv = uniform(rows * 3 * channels, 1).map((x, i) =>
    i % (3 * channels) < 2 * channels ? scale * x : x
  );
  return { shape, qkv: exact(qkv), dOut: exact(uniform(rows * channels, 2)) };
}

function upload(gpu: Gpu, { shape, qkv, dOut, dtype, variant }: Case): AttentionBackwardInput {
  const { batch, tokens, heads, prefix } = shape;
  const channels = heads * DIM;
  const table = [shape.cos.length / (DIM / 2), DIM / 2];
  return {
    qkv: uploadTensor(gpu, qkv, [batch, tokens, 3 * channels], dtype),
    cos: uploadTensor(gpu, shape.cos, table),
    sin: uploadTensor(gpu, shape.sin, table),
    out: createTensor(gpu, [batch, tokens, channels], dtype),
    lse: createTensor(gpu, [batch, heads, tokens]),
    dOut: uploadTensor(gpu, dOut, [batch, tokens, channels], dtype),
    delta: createTensor(gpu, [batch, heads, tokens]),
    dQkv: createTensor(gpu, [batch, tokens, 3 * channels], dtype),
    heads,
    prefix,
    variant,
  };
}

async function run(gpu: Gpu, input: AttentionBackwardInput) {
  await runOnce(input.variant === "matrix" ? withMatrices(gpu) : gpu, (plan) => {
    attention(plan, input);
    attentionBackward(plan, input);
  });
  return {
    out: await readTensor(gpu, input.out),
    lse: await readTensor(gpu, input.lse),
    dQkv: await readTensor(gpu, input.dQkv),
  };
}

/** Queries, keys or values of a `(rows, 3, channels)` tensor. */
function partOf(qkv: ArrayLike<number>, part: number, channels: number): number[] {
  return Array.from(qkv).filter((_, i) => Math.floor(i / channels) % 3 === part);
}

/**
 * Worst errors in f32, in roundings.
 *
 * A score is a sum of 64 products of turned numbers, none above W in absolute sum (W: largest
 * |q| |k| / 8): 34 roundings of the sum, fewer where lanes share it, and 9 of the turns. So p errs,
 * relatively, by that of its score and of the maximum, by exp (3 + 2 |x| ulp in WGSL, |x| <= 2 W),
 * and by exp and a product for each rescaling, one in two keys at most. Sums over keys add 3
 * roundings a key.
 *
 * Matrix units round turned rows to f16, quarters of a turn excepted, and then the weights of passing
 * rows: p, dS.
 */
function errors({ shape: { tokens, heads, cos }, qkv, variant }: Case) {
  const channels = heads * DIM;
  const weight = variant === "matrix" ? 2 ** 13 : 0;
  const turned = cos.every(Number.isInteger) ? 0 : weight;
  const norms = [0, 1].map((part) => {
    const values = partOf(qkv, part, channels);
    let most = 0;
    for (let i = 0; i < values.length; i += DIM) {
      most = Math.max(most, Math.hypot(...values.slice(i, i + DIM)));
    }
    return most;
  });
  const W = norms[0]! * norms[1]! / 8;
  const score = (48 + 2 * turned) * W;
  const p = 2 * score + 10 * W + 8 + 4 * tokens;
  return {
    out: (2 * p + weight + 3 * tokens + 8) * ROUND, // of a value, at most 1
    lse: (score + p + tokens + W + 32) * ROUND, // log errs by 3 ulp of a number below 8
    // dS = p (dP - delta): a random difference is about 1/8 of |dOut| |v|, of which its two sums
    // err by 34 roundings each. Relative L2, in which independent errors do not add up.
    gradient: (p + weight + 8 * 2 * 34 + 3 * tokens) * ROUND,
  };
}

/** Rounding of a result to f16, 2^-11 of it, or half of the least positive number. */
function stored(atol: number, dtype: DType): Tolerance {
  return dtype === "f16" ? { atol: atol + 2 ** -25, rtol: 2 ** -11 } : { atol, rtol: 0 };
}

async function checkCase(gpu: Gpu, input: Case): Promise<{ lse: Float64Array }> {
  const { shape, qkv, dOut, dtype } = input;
  const channels = shape.heads * DIM;
  const actual = await run(gpu, upload(gpu, input));
  const expected = attentionCpu(qkv, shape);
  const allowed = errors(input);
  assertClose(actual.out, expected.out, stored(allowed.out, dtype));
  assertClose(actual.lse, expected.lse, { atol: allowed.lse, rtol: 0 });
  const dQkv = attentionBackwardCpu(qkv, dOut, shape);
  // In f16 the output that makes delta is rounded, and so is the result: 2^-11 each.
  const most = allowed.gradient + (dtype === "f16" ? 2 ** -10 : 0);
  for (const [part, name] of ["query", "key", "value"].entries()) {
    const gradient = partOf(dQkv, part, channels);
    if (shape.tokens === 1 && part < 2) {
      // One key: p is 1 whatever the score. dP and delta differ by their roundings, 34 of a sum
      // of 64 products below 1, and delta by that of `out`; then times a key below 1, over 8.
      const atol = 64 * (2 * 34 + 8) * ROUND / 8;
      assertClose(partOf(actual.dQkv, part, channels), gradient, { atol, rtol: 0 });
    } else {
      const error = relativeL2(partOf(actual.dQkv, part, channels), gradient);
      assert(error <= most, `gradient of ${name}: relative L2 ${error}, at most ${most}`);
    }
  }
  return expected;
}

/**
 * The variants a device can run, and matrix units, emulated where it has none. Without f16 the
 * emulation would take more than the 32 KiB of a workgroup.
 */
function variantsOf(gpu: Gpu): Case["variant"][] {
  const all: Case["variant"][] = ["subgroup", "split", "thin", "tile"]; // each asks no less than the next
  const plain = all.slice(all.indexOf(attentionVariant({ ...gpu, hasManyRegisters: true }, "f32")));
  return gpu.hasF16 ? [...plain, "matrix"] : plain;
}

/** Sizes at which plain WGSL stands for matrix units: each takes 13 s to compile on a CPU adapter. */
const EMULATED = [1, 29, 33, 71];

// Keys pass one to 32 at a time, 8 to 32 in a tile; a workgroup owns 16 to 96 rows; 5 tokens are
// prefix.
// On a CPU adapter each size costs seconds of compilation, so f16 has one.
for (
  const [batch, heads, tokens, dtype] of [
    [2, 3, 1, "f32"],
    [2, 2, 5, "f32"],
    [2, 2, 6, "f32"],
    [3, 1, 7, "f32"],
    [2, 2, 29, "f32"],
    [2, 2, 29, "f16"],
    [1, 2, 32, "f32"],
    [1, 2, 33, "f32"],
    [1, 2, 64, "f32"],
    [2, 1, 65, "f32"],
    [1, 2, 71, "f32"],
    [1, 2, 201, "f32"],
    [1, 1, 261, "f32"],
  ] as const
) {
  const name = `(${batch}, ${heads}, ${tokens}) in ${dtype}`;
  gpuTest({
    name: `attention() and attentionBackward() match the oracle at ${name}`,
    needs: [dtype],
  }, async (gpu) => {
    for (const variant of variantsOf(gpu)) {
      if (
        variant === "matrix" && !gpu.hasMatrix && !hasSmaller(gpu) && !EMULATED.includes(tokens)
      ) continue;
      await checkCase(gpu, caseFor(variant, [batch, heads, tokens], dtype));
    }
  });
}

for (const [scale, reached] of [[12, 100], [32, 1000]] as const) {
  gpuTest(`attention() and attentionBackward() stand scores above ${reached}`, async (gpu) => {
    for (const variant of variantsOf(gpu)) {
      const { lse } = await checkCase(gpu, caseFor(variant, [1, 2, 71], "f32", scale));
      assert(Math.max(...lse) > reached);
    }
  });
}

gpuTest("attention() and attentionBackward() average when all rows are equal", async (gpu) => {
  const [heads, tokens] = [2, 29];
  const channels = heads * DIM;
  const shape = shapeOf([1, heads, tokens]);
  shape.cos.fill(1);
  shape.sin.fill(0);
  const { dOut } = caseOf(shape);
  const ones = new Float64Array(tokens * channels).fill(1);
  for (const variant of variantsOf(gpu)) {
    for (const scale of [0, 1]) {
      const row = new Float32Array(
        new Float16Array(uniform(3 * channels, 1).map((x) => scale * x)),
      );
      const qkv = new Float32Array(tokens * 3 * channels).map((_, i) => row[i % row.length]!);
      const input: Case = { shape, qkv, dOut, dtype: "f32", variant };
      const { out, lse, dQkv } = await run(gpu, upload(gpu, input));
      const allowed = errors(input);
      const values = ones.map((_, i) => row[2 * channels + i % channels]!);
      assertClose(out, values, { atol: allowed.out, rtol: 0 });
      const scores = [0, DIM].map((start) => {
        const [q, k] = [row.subarray(start), row.subarray(channels + start)];
        return dot(q.subarray(0, DIM), k) / 8;
      });
      const expectedLse = lse.map((_, i) => scores[Math.floor(i / tokens)]! + Math.log(tokens));
      assertClose(lse, expectedLse, { atol: allowed.lse, rtol: 0 });
      // dP - delta is 0: two sums of 64 products below 1, one of them with the errors of `out`,
      // times keys below 1, over 8. A key sums this over the queries.
      const atol = 64 * (2 * 34 * ROUND + allowed.out) / 8;
      const none = ones.map(() => 0);
      assertClose(partOf(dQkv, 0, channels), none, { atol, rtol: 0 });
      assertClose(partOf(dQkv, 1, channels), none, { atol: tokens * atol, rtol: 0 });
      const mean = ones.map((_, i) => {
        const column = dOut.filter((_, j) => j % channels === i % channels);
        return dot(column, ones) / tokens;
      });
      assertClose(partOf(dQkv, 2, channels), mean, { atol: tokens * allowed.out, rtol: 0 });
    }
  }
});

gpuTest("attention() and attentionBackward() keep a broken image to itself", async (gpu) => {
  // 29 tokens: the last rows that pass and the last of a tile reach past an image's end.
  for (const variant of variantsOf(gpu)) {
    const broken = caseFor(variant, [2, 2, 29]);
    const { shape, qkv, dOut } = broken;
    const first = { ...shape, batch: 1 };
    const [firstQkv, firstOut] = [qkv, dOut].map((values) => values.slice(0, values.length / 2));
    qkv.fill(NaN, qkv.length / 2);
    dOut.fill(NaN, dOut.length / 2);
    const { out, dQkv } = await run(gpu, upload(gpu, broken));
    const input: Case = { shape: first, qkv: firstQkv!, dOut: firstOut!, dtype: "f32", variant };
    const allowed = errors(input);
    const expected = attentionCpu(firstQkv!, first).out;
    assertClose(out.subarray(0, out.length / 2), expected, { atol: allowed.out, rtol: 0 });
    const gradient = attentionBackwardCpu(firstQkv!, firstOut!, first);
    const error = relativeL2(dQkv.subarray(0, dQkv.length / 2), gradient);
    assert(error <= allowed.gradient, `relative L2 ${error}, at most ${allowed.gradient}`);
  }
});

gpuTest("attention() and attentionBackward() do not see what was computed before", async (gpu) => {
  // Where tensors pass through textures, those of a larger problem lie behind a smaller one's.
  for (const variant of variantsOf(gpu)) {
    const larger = caseFor(variant, [1, 2, 71]);
    larger.qkv.fill(NaN);
    larger.dOut.fill(NaN);
    await run(gpu, upload(gpu, larger));
    await checkCase(gpu, caseFor(variant, [1, 2, 29]));
  }
});

gpuTest("attention() and attentionBackward() write nothing past the end", async (gpu) => {
  for (const variant of variantsOf(gpu)) {
    const input = upload(gpu, caseFor(variant, [1, 2, 29]));
    const names = ["out", "lse", "delta", "dQkv"] as const;
    const guards = names.map((name) => guarded(gpu, input[name].shape, "f32"));
    names.forEach((name, i) => input[name] = guards[i]!.view);
    await run(gpu, input);
    for (const guard of guards) await guard.check();
  }
});

Deno.test("attentionVariant() takes what the adapter is made for", () => {
  const nvidia = { isCpu: false, subgroupMinSize: 32, hasManyRegisters: true, hasMatrix: true };
  const variant = (changed: Partial<Gpu>, dtype: DType) =>
    attentionVariant({ ...nvidia, ...changed } as Gpu, dtype);
  assert.equal(variant({}, "f16"), "matrix");
  assert.equal(variant({}, "f32"), "split"); // matrix units would round its rows
  assert.equal(variant({ hasMatrix: false }, "f16"), "split");
  assert.equal(variant({ subgroupMinSize: 8, hasManyRegisters: false }, "f32"), "thin");
  assert.equal(variant({ subgroupMinSize: 4 }, "f32"), "tile");
  assert.equal(variant({ subgroupMinSize: 8, isCpu: true }, "f32"), "subgroup");
});

Deno.test({
  name: "attention() does without subgroups where there are none",
  ignore: GPU_OFF,
  fn: async () => {
    const gpu = await openGpu({ subgroups: false });
    try {
      assert.equal(attentionVariant(gpu, "f32"), "tile");
      const input = caseFor("tile", [1, 2, 29]);
      const { variant: _, ...auto } = upload(gpu, input);
      const { out } = await run(gpu, auto);
      const expected = attentionCpu(input.qkv, input.shape).out;
      assertClose(out, expected, { atol: errors(input).out, rtol: 0 });
    } finally {
      closeGpu(gpu);
    }
  },
});

gpuTest("attention() and attentionBackward() refuse tensors that do not fit", async (gpu) => {
  const input = upload(gpu, caseFor("tile", [2, 2, 7]));
  const plan = new Plan(gpu);
  const wrong = createTensor(gpu, [2, 7, 2]);
  const half = createTensor(gpu, [2, 7, 128], "f16");
  const refused = (change: Partial<AttentionBackwardInput>, error: new () => Error) => {
    assert.throws(() => attentionBackward(plan, { ...input, ...change }), error);
  };
  for (const name of ["qkv", "cos", "sin", "out", "lse"] as const) {
    assert.throws(() => attention(plan, { ...input, [name]: wrong }), RangeError, name);
    refused({ [name]: wrong }, RangeError);
  }
  for (const name of ["dOut", "delta", "dQkv"] as const) refused({ [name]: wrong }, RangeError);
  refused({ heads: 3 }, RangeError);
  refused({ prefix: 4 }, RangeError);
  refused({ dOut: half }, TypeError);
  assert.throws(
    () => attention(plan, { ...input, out: half }),
    new TypeError("Cannot run attention: out is (2,7,128) f16, it must be (2,7,128) f32"),
  );
  await plan.ready();
});
