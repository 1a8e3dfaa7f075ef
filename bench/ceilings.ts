/**
 * What the machine can do at most: multiply-adds between registers, and copies.
 *
 * @module
 */
import type { Gpu } from "../kernels/gpu.ts";
import { grid1d } from "../kernels/grid.ts";
import type { Precision } from "../model/network.ts";
import { type KernelCase, timeCases } from "./measure.ts";
import type { Report } from "./report.ts";
import { Room } from "./room.ts";
import copyCode from "./copy.wgsl" with { type: "text" };

/** The best of each kind. */
export interface Ceilings {
  /** GFLOP/s by element type; f16 only where the adapter has it. */
  fma: Partial<Record<Precision, number>>;
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

const LANES = 64;
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
  const ceilings: Ceilings = { fma: {}, copy: 0 };
  const precisions: Precision[] = gpu.hasF16 ? ["f32", "f16"] : ["f32"];
  const room = new Room(gpu);
  const cases = precisions.flatMap((precision) => fmaCases(gpu, room, precision));
  for (const time of await timeCases(gpu, [...cases, copyCase(gpu, room)], rounds)) {
    const rate = time.flops / time.gpu.min / 1e6;
    const bandwidth = time.bytes / time.gpu.min / 1e6;
    row([time.name, time.gpu.min, time.gpu.median, rate || null, bandwidth || null]);
    const type = precisions.find((precision) => time.name.includes(precision));
    if (type) ceilings.fma[type] = Math.max(ceilings.fma[type] ?? 0, rate);
    else ceilings.copy = bandwidth;
  }
  room.destroy();
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

function copyCase(gpu: Gpu, room: Room): KernelCase {
  const size = Math.min(COPY_BYTES, gpu.device.limits.maxStorageBufferBindingSize) / 4;
  const from = room.values([size]);
  const to = room.zeros([size]);
  return {
    name: "copy",
    record(plan) {
      plan.add({
        label: "copy",
        code: copyCode,
        constants: { SIZE: size / 4 },
        tensors: [from.tensor, to],
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
