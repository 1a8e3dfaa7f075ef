import { type DType, type Gpu, hasEightLanes } from "./gpu.ts";
import { matrixGemm } from "./gemm_matrix.ts";
import { subgroupGemm } from "./gemm_subgroup.ts";
import { tileGemm, type TileShape } from "./gemm_tile.ts";
import blocks from "./gemm_blocks.wgsl" with { type: "text" };

/**
 * How a GEMM is laid out on the machine: what part of the result a workgroup computes, and how.
 * `subgroup` is for adapters of 8 SIMD lanes (`texels`: it reads textures), `tile` for those with
 * workgroup memory (`tall`: more rows an invocation), `matrix` for those with matrix units
 * ({@linkcode Gpu.hasMatrix}).
 */
export type GemmLayout =
  | "subgroup 32x32"
  | "subgroup 32x64"
  | "subgroup 32x64 texels"
  | "tile 64x64"
  | "tile 128x128"
  | "tile 128x128 tall"
  | "matrix 64x64"
  | "matrix 128x128";

/** What a layout is made of. */
export interface GemmCode {
  code: string;
  /** Of the result, for a workgroup. */
  rows: number;
  columns: number;
  constants: Readonly<Record<string, number>>;
  /** Element types of its own, as `KernelRun.types`. */
  types?: Readonly<Record<string, DType>>;
  /** Operands that fit are read as textures. */
  readsTexels?: boolean;
  /** How many parts K can be cut into. */
  parts: number;
}

const wide = { code: subgroupGemm(2), rows: 32, columns: 64, constants: {}, parts: 1 };

/** Of K: more would leave each too little to multiply. */
const MOST_PARTS = 64;

function tile(shape: TileShape): GemmCode {
  const { side } = shape;
  const code = `${blocks}\n${tileGemm(shape)}`;
  return { code, rows: side, columns: side, constants: {}, parts: MOST_PARTS };
}

function matrix(side: 64 | 128): GemmCode {
  const code = `${blocks}\n${matrixGemm(side)}`;
  return {
    code,
    rows: side,
    columns: side,
    constants: {},
    parts: MOST_PARTS,
    types: { Element: "f16" },
  };
}

/** Every layout. */
export const GEMM_LAYOUTS: Readonly<Record<GemmLayout, GemmCode>> = {
  "subgroup 32x32": { code: subgroupGemm(1), rows: 32, columns: 32, constants: {}, parts: 1 },
  "subgroup 32x64": wide,
  "subgroup 32x64 texels": { ...wide, readsTexels: true },
  "tile 64x64": tile({ side: 64, rows: 8 }),
  "tile 128x128": tile({ side: 128, rows: 8 }),
  "tile 128x128 tall": tile({ side: 128, rows: 16 }),
  "matrix 64x64": matrix(64),
  "matrix 128x128": matrix(128),
};

/** What decides on a layout: an m × n result of depth k. */
export interface GemmChoice {
  m: number;
  n: number;
  k: number;
  /** All operands but LoRA's are stored as f16. */
  isHalf: boolean;
}

/** Of workgroup memory, where a tile of matrix units is 128 wide; 16 KiB is what all grant. */
const WIDE_MATRIX_BYTES = 17 * 1024;

/** Layouts that are worth trying for a product; all of them give the same bits. */
export function layoutsFor(gpu: Gpu, { isHalf }: Pick<GemmChoice, "isHalf">): GemmLayout[] {
  if (hasEightLanes(gpu)) {
    return ["subgroup 32x32", "subgroup 32x64", "subgroup 32x64 texels"];
  }
  if (gpu.hasMatrix && isHalf) {
    const { maxComputeWorkgroupStorageSize: most } = gpu.device.limits;
    return most < WIDE_MATRIX_BYTES ? ["matrix 64x64"] : ["matrix 64x64", "matrix 128x128"];
  }
  // With 128 x 128 a workgroup has 256 invocations and 16 KiB: every WebGPU adapter grants that.
  return ["tile 64x64", "tile 128x128", "tile 128x128 tall"];
}

/**
 * The layout that is taken where none has been measured.
 *
 * Matrix units round operands in f32 to f16, which changes bits: they are never on trial beside
 * others, but taken wherever `isHalf`. Rounding LoRA's operands is what PyTorch's autocast does
 * there.
 */
export function defaultLayout(gpu: Gpu, { m, n, k, isHalf }: GemmChoice): GemmLayout {
  if (gpu.hasMatrix && isHalf) return "matrix 64x64";
  if (!hasEightLanes(gpu)) return "tile 64x64";
  // The wide one takes 0.85 times as long for each column, those past the edge included; but half
  // a second more to compile, which small products do not pay back in a thousand calls.
  const cost = 0.85 * 64 * Math.ceil(n / 64);
  const pays = m * n * k >= 1e8 && cost < 32 * Math.ceil(n / 32);
  return pays ? "subgroup 32x64 texels" : "subgroup 32x32";
}
