import { type DType, type Gpu, hasEightLanes } from "./gpu.ts";
import { subgroupGemm } from "./gemm_subgroup.ts";
import { tileGemm } from "./gemm_tile.ts";
import blocks from "./gemm_blocks.wgsl" with { type: "text" };
import matrix from "./gemm_matrix.wgsl" with { type: "text" };
import fragment from "./matrix_fragment.wgsl" with { type: "text" };

/**
 * How a GEMM is laid out on the machine: what part of the result a workgroup computes, and how.
 * `subgroup` is for adapters of 8 SIMD lanes, `tile` for those with workgroup memory, with half as
 * many sums a lane where it is `thin`, `matrix` for those with matrix units ({@linkcode Gpu.hasMatrix}).
 */
export type GemmLayout =
  | "subgroup 32x32"
  | "subgroup 32x64"
  | "tile 64x64"
  | "tile 64x64 thin"
  | "tile 128x128"
  | "matrix 64x64";

/** What a layout is made of. */
export interface GemmCode {
  code: string;
  /** Of the result, for a workgroup. */
  rows: number;
  columns: number;
  /** Element types of its own, as `KernelRun.types`. */
  types?: Readonly<Record<string, DType>>;
  /** Operands that fit are read as textures. */
  readsTexels?: boolean;
  /** How many parts K can be cut into. */
  parts: number;
}

function subgroup(blocks: 1 | 2): GemmCode {
  const code = subgroupGemm(blocks);
  return { code, rows: 32, columns: 32 * blocks, parts: 1, readsTexels: true };
}

/** Of K: more would leave each too little to multiply. */
const MOST_PARTS = 64;

function tile(side: 64 | 128, columns: 4 | 8): GemmCode {
  const code = `${blocks}\n${tileGemm({ side, columns })}`;
  return { code, rows: side, columns: side, parts: MOST_PARTS };
}

/** Every layout. */
export const GEMM_LAYOUTS: Readonly<Record<GemmLayout, GemmCode>> = {
  "subgroup 32x32": subgroup(1),
  "subgroup 32x64": subgroup(2),
  "tile 64x64": tile(64, 8),
  "tile 64x64 thin": tile(64, 4),
  "tile 128x128": tile(128, 8),
  "matrix 64x64": {
    code: `${blocks}\n${fragment}\n${matrix}`,
    ...{ rows: 64, columns: 64, parts: MOST_PARTS },
    types: { Element: "f16" },
  },
};

/** Layouts that are worth trying on an adapter; all of them give the same bits. */
export function layoutsFor(gpu: Gpu): GemmLayout[] {
  if (hasEightLanes(gpu)) return ["subgroup 32x32", "subgroup 32x64"];
  // With 128 x 128 a workgroup has 256 invocations and 16 KiB: every WebGPU adapter grants that.
  return gpu.hasManyRegisters ? ["tile 64x64", "tile 128x128"] : ["tile 64x64 thin", "tile 64x64"];
}

/**
 * The layout that is taken where none has been measured, for an m × n result of depth k.
 *
 * Matrix units round operands in f32 to f16, which changes bits: they are never on trial, but taken
 * wherever `isHalf`, that is where all operands but LoRA's are stored as f16. Rounding LoRA's is
 * what PyTorch's autocast does there.
 */
export function defaultLayout(
  gpu: Gpu,
  { m, n, k, isHalf }: { m: number; n: number; k: number; isHalf: boolean },
): GemmLayout {
  if (gpu.hasMatrix && isHalf) return "matrix 64x64";
  if (!hasEightLanes(gpu)) return gpu.hasManyRegisters ? "tile 64x64" : "tile 64x64 thin";
  // The wide one takes 0.85 times as long for each column, those past the edge included; but half
  // a second more to compile, which small products do not pay back in a thousand calls.
  const cost = 0.85 * 64 * Math.ceil(n / 64);
  const pays = m * n * k >= 5e7 && cost < 32 * Math.ceil(n / 32);
  return pays ? "subgroup 32x64" : "subgroup 32x32";
}
