import { UPDATED_AT_ONCE } from "../kernels/adamw.ts";
import { type DType, type Gpu, hasEightLanes } from "../kernels/gpu.ts";
import { fitsTexels, MOST_TEXELS, texelBytes } from "../kernels/texels.ts";
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
  mlpHidden: number;
  /** The MLP is a SwiGLU. */
  gated: boolean;
  /** Values of a patch. */
  patchSize: number;
  layers: readonly LayerShape[];
  /** Takes all images of the batch at a time, as does the loss; hidden is 0 without one. */
  head: { images: number; hidden: number; embedDim: number };
  /** Elements of all that is trained. */
  trainables: number;
  isMerged: boolean;
  isTraining: boolean;
}

/** Of a tensor that a kernel reads as a texture, if it fits. */
type TensorType = [dtype: DType, ...shape: number[]];

/**
 * Bytes of the textures through which a CPU adapter reads tensors: of each slot and type one, that
 * the largest tensor fits. 0 on a GPU.
 *
 * @param works What the device is used for, in order: where one needs a larger texture than those
 *   before it, the smaller one stays.
 */
export function texelMemory(gpu: Gpu, works: readonly TexelOptions[]): number {
  if (!hasEightLanes(gpu)) return 0;
  const made = new Map<string, number>();
  let total = 0;
  for (const plan of works.flatMap(plansOf)) {
    const needs = new Map<string, number>();
    for (const operands of plan) {
      const fitting = operands.map(([dtype, ...shape]) => ({ dtype, shape })).filter(fitsTexels);
      for (const [slot, tensor] of fitting.slice(0, MOST_TEXELS).entries()) {
        const key = `${slot} ${tensor.dtype}`;
        needs.set(key, Math.max(needs.get(key) ?? 0, texelBytes(tensor)));
      }
    }
    for (const [key, need] of needs) {
      if (need <= (made.get(key) ?? 0)) continue;
      made.set(key, need);
      total += need;
    }
  }
  return total;
}

/** Plans that are made one after the other. */
function plansOf(work: TexelOptions): TensorType[][][] {
  const updated: TensorType = ["f32", Math.min(UPDATED_AT_ONCE, work.trainables)];
  return [kernels(work), ...(work.isTraining ? [[[updated, updated, updated, updated]]] : [])];
}

/** Of each kernel that reads textures its operands, in their order. */
function kernels(work: TexelOptions): TensorType[][] {
  const { precision, rows, patches, grid, embedDim, headDim, patchSize, isTraining } = work;
  const angles: TensorType = ["f32", grid, headDim / 2];
  const attention: TensorType[] = [[precision, rows, 3 * embedDim], angles, angles];
  if (isTraining) attention.push([precision, rows, embedDim]);
  return [
    attention,
    [[precision, patches, patchSize], [precision, embedDim, patchSize]],
    ...rowKernels(work),
    ...work.layers.flatMap((layer) => layerKernels(layer, work)),
    ...headKernels(work),
  ];
}

/** Norms and gates; activations are read where products read them too. */
function rowKernels(
  { precision, rows, embedDim, mlpHidden, ...work }: TexelOptions,
): TensorType[][] {
  const stream: TensorType = ["f32", rows, embedDim];
  const scale: TensorType = ["f32", embedDim];
  const dNorm: TensorType = [precision, rows, embedDim];
  const hidden: TensorType = [precision, rows, mlpHidden];
  const norms = [
    [stream, scale, scale],
    ...(work.isTraining ? [[dNorm, stream, scale, stream]] : []),
  ];
  if (!work.gated) return norms;
  return [...norms, [hidden, hidden], ...(work.isTraining ? [[hidden, hidden, hidden]] : [])];
}

/** The products of `linear.ts`, with what their epilogues read. */
function layerKernels({ out, in: width, rank }: LayerShape, work: TexelOptions): TensorType[][] {
  const { precision, rows, embedDim, mlpHidden, isMerged, isTraining } = work;
  const residual: TensorType[] = out === embedDim ? [["f32", rows, out]] : [];
  const pre: TensorType[] = width === mlpHidden && !work.gated ? [[precision, rows, width]] : [];
  const x: TensorType = [precision, rows, width];
  const dy: TensorType = [precision, rows, out];
  const h: TensorType = [precision, rows, rank];
  const loraA: TensorType = ["f32", rank, width];
  const loraB: TensorType = ["f32", out, rank];
  const frozen: TensorType = [precision, out, width];
  if (rank === 0) {
    return [[x, frozen, ...residual], ...(isTraining ? [[dy, frozen, ...pre]] : [])];
  }
  const weight: TensorType = [isMerged ? "f32" : precision, out, width];
  const [forward, backward] = isMerged ? [[], []] : [[h, loraB], [h, loraA]];
  const products = [
    [x, weight, ...forward, ...residual],
    isMerged ? [loraB, loraA, frozen] : [x, loraA],
  ];
  if (!isTraining) return products;
  const gradients = [[x, loraA], [dy, loraB], [dy, h], [h, x]];
  return [...products, [dy, weight, ...backward, ...pre], ...gradients];
}

/** The products of `head.ts` and the loss, all in f32. */
function headKernels({ head, embedDim: width, isTraining }: TexelOptions): TensorType[][] {
  const { images, hidden, embedDim } = head;
  const side: TensorType = ["f32", images / 2, embedDim]; // queries, references
  const loss = isTraining ? [[side, side]] : [];
  if (hidden === 0) return loss;
  const rows = (columns: number): TensorType => ["f32", images, columns];
  const first: TensorType = ["f32", hidden, width];
  const last: TensorType = ["f32", embedDim, hidden];
  const products = [[rows(width), first], [rows(hidden), last]];
  if (!isTraining) return products;
  const inputs = [[rows(hidden), first], [rows(embedDim), last, rows(hidden)]];
  const gradients = [[rows(hidden), rows(width)], [rows(embedDim), rows(hidden)]];
  return [...products, ...inputs, ...gradients, ...loss];
}
