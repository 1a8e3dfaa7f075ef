import { defaultLayout, GEMM_LAYOUTS } from "../kernels/gemm_layout.ts";
import { type DType, type Gpu, hasEightLanes } from "../kernels/gpu.ts";
import { fitsTexels, texelBytes } from "../kernels/texels.ts";
import type { Precision } from "./network.ts";

/** A layer of the blocks, (out, in); rank 0 without an adapter. */
export interface LayerShape {
  out: number;
  in: number;
  rank: number;
}

/** What is computed at a time. */
export interface TexelOptions {
  precision: Precision;
  /** Tokens of all images. */
  rows: number;
  /** Patches of all images. */
  patches: number;
  /** Patches of one. */
  grid: number;
  embedDim: number;
  headDim: number;
  /** Values of a patch. */
  patchSize: number;
  layers: readonly LayerShape[];
  isMerged: boolean;
  isTraining: boolean;
}

/** A tensor that passes through a kernel's `slot`th texture. */
type Passage = [slot: number, dtype: DType, ...shape: number[]];

/**
 * Bytes of the textures through which a CPU adapter reads tensors: of each slot and type one, that
 * the largest tensor fits. 0 on a GPU.
 *
 * @param gpu Decides between layouts of kernels; nothing is allocated.
 * @param works What the device is used for, in order: where one needs a larger texture than those
 *   before it, the smaller one stays.
 */
export function texelMemory(gpu: Gpu, works: readonly TexelOptions[]): number {
  if (!hasEightLanes(gpu)) return 0;
  const made = new Map<string, number>();
  let total = 0;
  for (const work of works) {
    const needs = Map.groupBy(
      passages(gpu, work).filter(([, dtype, ...shape]) => fitsTexels({ shape, dtype })),
      ([slot, dtype]) => `${slot} ${dtype}`,
    );
    for (const [key, tensors] of needs) {
      const need = Math.max(...tensors.map(([, dtype, ...shape]) => texelBytes({ shape, dtype })));
      if (need <= (made.get(key) ?? 0)) continue;
      made.set(key, need);
      total += need;
    }
  }
  return total;
}

function passages(gpu: Gpu, work: TexelOptions): Passage[] {
  const { precision, rows, patches, grid, embedDim, headDim, patchSize, isTraining } = work;
  const attention: Passage[] = [
    [0, precision, rows, 3 * embedDim],
    [1, "f32", grid, headDim / 2],
    [2, "f32", grid, headDim / 2],
    ...(isTraining ? [[3, precision, rows, embedDim] satisfies Passage] : []),
  ];
  const embed = product(gpu, [patches, embedDim, patchSize], [
    [0, precision, patches, patchSize],
    [1, precision, embedDim, patchSize],
  ]);
  return [
    ...attention,
    ...embed,
    ...work.layers.flatMap((layer) => layerPassages(gpu, layer, work)),
  ];
}

/** The products of `linear.ts`. */
function layerPassages(gpu: Gpu, layer: LayerShape, work: TexelOptions): Passage[] {
  const { out, in: width, rank } = layer;
  const { precision, rows, isMerged, isTraining } = work;
  const x: Passage = [0, precision, rows, width];
  const dy: Passage = [0, precision, rows, out];
  const weight: Passage = [1, rank > 0 && isMerged ? "f32" : precision, out, width];
  const hasSecond = rank > 0 && !isMerged;
  const second = (width: number): Passage[] =>
    hasSecond ? [[2, precision, rows, rank], [3, "f32", rank, width]] : [];
  const depth = (k: number) => hasSecond ? k + rank : k;
  const forward = product(gpu, [rows, out, depth(width)], [x, weight, ...second(out)]);
  const merge = product(gpu, [out, width, rank], [[0, "f32", out, rank], [1, "f32", rank, width]]);
  const down = product(gpu, [rows, rank, width], [x, [1, "f32", rank, width]]);
  if (!isTraining) {
    return [...forward, ...(rank === 0 ? [] : isMerged ? merge : down)];
  }
  const backward = product(gpu, [rows, width, depth(out)], [dy, weight, ...second(width)]);
  if (rank === 0) return [...forward, ...backward];
  return [
    ...(isMerged ? merge : []),
    ...[...forward, ...backward, ...down],
    ...product(gpu, [rows, rank, out], [dy, [1, "f32", out, rank]]),
    ...product(gpu, [out, rank, rows], [dy, [1, precision, rows, rank]]),
    ...product(gpu, [rank, width, rows], [[0, precision, rows, rank], [1, precision, rows, width]]),
  ];
}

/** What an m × n product of depth k passes through textures. */
function product(gpu: Gpu, [m, n, k]: [number, number, number], operands: Passage[]): Passage[] {
  const layout = GEMM_LAYOUTS[defaultLayout(gpu, { m, n, k, isHalf: false })];
  return layout.readsTexels ? operands : [];
}
