/**
 * What the machine can do at most: multiply-adds between registers, on matrix units too where it has
 * them, and copies.
 *
 * @module
 */
import { type Gpu, hasEightLanes } from "../kernels/gpu.ts";
import { grid1d } from "../kernels/grid.ts";
import { declareOperands } from "../kernels/operands.ts";
import type { Precision } from "../model/network.ts";
import { type KernelCase, timeCases } from "./measure.ts";
import type { Report } from "./report.ts";
import { Room } from "./room.ts";
import fragment from "../kernels/matrix_fragment.wgsl" with { type: "text" };
import copyCode from "./copy.wgsl" with { type: "text" };

/** The best of each kind. */
export interface Ceilings {
  /** GFLOP/s by element type; f16 only where the adapter has it. */
  fma: Partial<Record<Precision, number>>;
  /** GFLOP/s of matrix units, f16 in and f32 out; null where there are none. */
  matrix: number | null;
  /** GB/s, bytes read and written. */
  copy: number;
}

/**
 * Accumulators of an invocation, and what each holds. Which is best depends on the machine: 12 fill
 * the registers of a CPU's core, more are spilled; a GPU hides latency behind many.
 */
const SHAPES = [
  { count: 8, width: 1 },
  { count: 12, width: 1 },
  { count: 3, width: 4 },
  { count: 8, width: 4 },
  { count: 16, width: 4 },
];

/** Fragments of sums that a subgroup has, of eight registers a lane each. */
const MATRIX_SUMS = [4, 8];

const LANES = 64;
const SUBGROUPS = 4; // of 32 lanes, for matrix units
const ROUNDS = 64;
const UNROLL = 16;
const COPY_BYTES = 64 * 2 ** 20; // twice that is more than any cache

/** Measures and prints the ceilings. */
export async function measureCeilings(
  gpu: Gpu,
  report: Report,
  rounds: number,
): Promise<Ceilings> {
  const row = report.table("ceilings", ["kernel", "min ms", "median ms", "GFLOP/s", "GB/s"]);
  const ceilings: Ceilings = { fma: {}, matrix: null, copy: 0 };
  const room = new Room(gpu);
  try {
    const measure = async (cases: readonly KernelCase[]) => {
      const times = await timeCases(gpu, cases, rounds);
      return times.map((time) => {
        const rate = time.flops / time.gpu.min / 1e6;
        const bandwidth = time.bytes / time.gpu.min / 1e6;
        row([time.name, time.gpu.min, time.gpu.median, rate || null, bandwidth || null]);
        return { rate, bandwidth };
      });
    };
    const most = async (cases: readonly KernelCase[]) =>
      Math.max(...(await measure(cases)).map(({ rate }) => rate));
    ceilings.fma.f32 = await most(fmaCases(gpu, room, "f32"));
    if (gpu.hasF16) ceilings.fma.f16 = await most(fmaCases(gpu, room, "f16"));
    if (gpu.hasMatrix) {
      ceilings.matrix = await most(MATRIX_SUMS.map((count) => matrixCase(gpu, room, count)));
    }
    ceilings.copy = (await measure([copyCase(gpu, room)]))[0]!.bandwidth;
  } finally {
    room.destroy();
  }
  return ceilings;
}

/** Multiply-adds in all shapes. */
export function fmaCases(gpu: Gpu, room: Room, precision: Precision): KernelCase[] {
  return SHAPES.map((shape) => fmaCase(gpu, room, { ...shape, precision }));
}

/**
 * The kernel for one shape, made here because WGSL has no generics: every invocation counts up in
 * `count` accumulators by multiply-adds whose factors the compiler cannot know.
 */
function fmaSource({ count, width }: { count: number; width: number }): string {
  const accumulators = Array.from({ length: count }, (_, i) => `c${i}`);
  const step = accumulators.map((c) => `${c} = fma(${c}, a, b);`).join(" ");
  return `
alias Scalar = f32;
alias Value = ${width === 1 ? "Scalar" : `vec${width}<Scalar>`};

override ROUNDS: u32 = 64;

@group(0) @binding(0) var<storage, read> start: array<f32>;
@group(0) @binding(1) var<storage, read> factors: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(${LANES})
fn main(@builtin(global_invocation_id) id: vec3u) {
  let a = Value(Scalar(factors[0]));
  let b = Value(Scalar(factors[1]));
  ${accumulators.map((c, i) => `var ${c} = Value(Scalar(start[${i}]));`).join("\n  ")}
  for (var round = 0u; round < ROUNDS; round++) {
    ${Array(UNROLL).fill(step).join("\n    ")}
  }
  // Of every component: a compiler leaves out what nobody reads.
  let total = ${accumulators.join(" + ")};
  y[id.x] = ${
    width === 1 ? "f32(total)" : `dot(vec${width}f(total), vec${width}f(1.0 / ${width}))`
  };
}`;
}

function fmaCase(
  gpu: Gpu,
  room: Room,
  { count, width, precision }: { count: number; width: number; precision: Precision },
): KernelCase {
  const groups = gpu.isCpu ? 256 : 8192;
  const start = room.zeros([16]);
  const factors = room.upload(Float32Array.of(1, 1, 0, 0), [4], "f32");
  const out = room.zeros([groups * LANES]);
  return {
    name: `fma ${precision}, ${count} × ${width === 1 ? "scalar" : `vec${width}`}`,
    record(plan) {
      plan.add({
        label: "fma",
        code: fmaSource({ count, width }),
        types: { Scalar: precision },
        constants: { ROUNDS },
        tensors: [start, factors, out],
        groups: [groups, 1, 1],
        flops: 2 * count * width * UNROLL * ROUNDS * groups * LANES,
        bytes: 0,
      });
    },
    async check() {
      // Every accumulator counts to ROUNDS × UNROLL; below 2048 that is exact in f16 too.
      const sum = (await room.read(out)).at(-1);
      if (sum !== count * ROUNDS * UNROLL) {
        throw new RangeError(`${count} counters add up to ${sum} after ${ROUNDS * UNROLL} steps`);
      }
    },
  };
}

/**
 * The kernel on matrix units: every subgroup adds products of one fragment with itself, whose
 * elements are all a quarter, to `count` fragments, so that every sum counts up.
 */
function matrixSource(count: number): string {
  const sums = Array.from({ length: count }, (_, i) => `c${i}`);
  const step = sums.map((c) => `${c} = add_product(left, right, ${c});`).join("\n    ");
  return `
alias Element = f32;

override ROUNDS: u32 = 512;

@group(0) @binding(0) var<storage, read> factors: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;

const STRIDE = 4u;
const SUMS_STRIDE = 4u;
var<workgroup> halves: array<vec4<Element>, 64>;
const SUMS = ${Math.max(count, SUBGROUPS) * 64}u;
var<workgroup> sums: array<vec4f, SUMS>;

@compute @workgroup_size(${32 * SUBGROUPS})
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
  @builtin(subgroup_id) subgroup: u32,
) {
  if (lane < 64) { halves[lane] = vec4<Element>(Element(factors[0])); }
  for (var i = lane; i < SUMS; i += ${32 * SUBGROUPS}u) { sums[i] = vec4f(factors[1]); }
  workgroupBarrier();
  let left = left_at(0);
  let right = right_at(0);
  // Each from a place of its own, or a compiler would know them to be one.
  ${sums.map((c, i) => `var ${c} = sum_at(${i * 64});`).join("\n  ")}
  workgroupBarrier();
  for (var round = 0u; round < ROUNDS; round++) {
    ${step}
  }
  var total = vec4f();
  ${
    sums.map((c) =>
      `store_sum(${c}, subgroup * 64);
  workgroupBarrier();
  total += sums[lane] + sums[lane + ${32 * SUBGROUPS}];
  workgroupBarrier();`
    ).join("\n  ")
  }
  y[group.x * ${32 * SUBGROUPS} + lane] = total;
}`;
}

/** Multiply-adds of matrix units, between registers. */
export function matrixCase(
  gpu: Gpu,
  room: Room,
  count: number,
): KernelCase {
  // Only tests run it on a CPU adapter: Mesa's ends all loops together after 65,535 turns.
  const [groups, rounds] = gpu.isCpu ? [2, 16] : [8192, 512];
  const factors = room.upload(Float32Array.of(0.25, 0), [2], "f32");
  const out = room.zeros([groups * 32 * SUBGROUPS * 4]);
  const each = rounds * count; // products of a subgroup
  return {
    name: `fma f16, matrix units, ${count} × 16x16`,
    record(plan) {
      plan.add({
        label: "fma",
        code: matrixSource(count),
        include: [fragment],
        types: { Element: "f16" },
        constants: { ROUNDS: rounds },
        tensors: [factors, out],
        groups: [groups, 1, 1],
        flops: 2 * 16 ** 3 * each * groups * SUBGROUPS,
        bytes: 0,
      });
    },
    async check() {
      const sums = await room.read(out);
      const wrong = sums.findIndex((sum) => sum !== 2 * each); // of two elements
      if (wrong >= 0) throw new RangeError(`sum ${wrong} is ${sums[wrong]}, not ${2 * each}`);
    },
  };
}

function copyCase(gpu: Gpu, room: Room): KernelCase {
  const size = Math.min(COPY_BYTES, gpu.device.limits.maxStorageBufferBindingSize) / 4;
  const from = room.values([size]);
  const to = room.zeros([size]);
  const { source, asTexels } = declareOperands(
    [{ name: "x", binding: 0, type: "f32", tensor: from.tensor }],
    hasEightLanes(gpu),
  );
  return {
    name: "copy",
    record(plan) {
      plan.add({
        label: "copy",
        code: copyCode,
        include: [source],
        constants: { SIZE: size / 4 },
        tensors: [from.tensor, to],
        asTexels,
        groups: grid1d(size / 4, 256),
      });
    },
    async check() {
      const copied = await room.read(to);
      const wrong = from.host.findIndex((x, i) => copied[i] !== x);
      if (wrong >= 0) throw new RangeError(`element ${wrong} is ${copied[wrong]}`);
    },
  };
}
