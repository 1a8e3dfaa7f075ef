/**
 * GPU memory of a training run, known before a byte of it is asked for.
 *
 * Per row (a token of an image of the piece that is embedded at a time) f32 needs about
 * `depth × (6C + F + R) × 4` bytes for what the blocks keep, which is most of all; R is the sum of a
 * block's ranks, 0 where adapters are merged. Checkpointing keeps `depth × C × 4` and one block's;
 * f16 halves `4C + F + R`.
 *
 * @module
 */
import { workspaceSize } from "../kernels/gemm.ts";
import { elementBytes, type Gpu, sizeOf } from "../kernels/gpu.ts";
import type { Adapter } from "./adapter.ts";
import { parameterShapes, prefixTokens } from "./config.ts";
import { largestPiece, mergesBest, pieceSize } from "./network.ts";
import { texelMemory } from "./texel_memory.ts";
import { flatSize, padTo4 } from "./trainables.ts";
import type { TrainerOptions } from "./trainer.ts";

/** The run to be estimated. */
export interface MemoryOptions extends
  Pick<
    TrainerOptions,
    | "backbone"
    | "adapter"
    | "precision"
    | "height"
    | "width"
    | "batchSize"
    | "microBatch"
    | "checkpointing"
  > {
  /** Images that an embedder for evaluations takes at a time, 0 for none. */
  evalImages: number;
}

/** Bytes by what they are for. */
export interface TrainingMemory {
  /** The backbone, and the weights that adapters are merged into, if they are. */
  weights: number;
  /** Adapters and head, their gradients and moments. */
  trained: number;
  /** What the blocks keep for the backward. */
  activations: number;
  /** Room that all blocks share. */
  scratch: number;
  /** Images, embeddings and the loss. */
  batch: number;
  /** The embedder for evaluations. */
  evaluation: number;
  /** Through which a CPU adapter reads tensors, see `texels.ts`; none on a GPU. */
  textures: number;
  /** All of them. */
  total: number;
}

/**
 * Bytes of what a `Trainer` and an `Embedder` allocate.
 *
 * @param gpu Decides between variants of kernels; nothing is allocated.
 */
export function trainingMemory(gpu: Gpu, options: MemoryOptions): TrainingMemory {
  const { batchSize, checkpointing = false, adapter, precision, backbone: { config } } = options;
  const images = 2 * batchSize;
  const network = { config, tokens: tokensOf(options), precision };
  const microBatch = pieceSize(gpu, network, { images, microBatch: options.microBatch });
  const evalImages = Math.min(options.evalImages, largestPiece(gpu, network));
  const training = pieceMemory(gpu, options, { images: microBatch, checkpointing });
  const evaluation = pieceMemory(gpu, options, { images: evalImages, checkpointing: null });
  const dim = headSizes(options).embedDim;
  const pieces = Math.ceil(images / microBatch);
  const loss = batchSize * (4 * dim + 4) * 4 + 256 * (1 + adapter.modules.length * pieces);
  const parts = {
    weights: weightMemory(gpu, options),
    trained: 4 * 4 * flatSize(adapter), // parameter, gradient and two moments in f32
    activations: training.activations,
    scratch: training.scratch,
    batch: imageMemory(options, images) + 4 * images * config.embedDim + loss,
    evaluation: evaluation.activations + evaluation.scratch + imageMemory(options, evalImages),
    textures: textureMemory(gpu, options, { images, microBatch, evalImages }),
  };
  return { ...parts, total: Object.values(parts).reduce((sum, bytes) => sum + bytes, 0) };
}

function weightMemory(gpu: Gpu, options: MemoryOptions): number {
  const { backbone, adapter, precision, height, width } = options;
  const { config, qvBias } = backbone;
  const shapes = parameterShapes(config);
  let bytes = qvBias ? config.depth * 3 * config.embedDim * 4 : 0;
  for (const shape of shapes.values()) {
    const isMatrix = shape.length > 1; // the two that are no weights, the tokens, are small
    bytes += sizeOf(shape) * (isMatrix ? elementBytes(precision) : 4);
  }
  if (isMerged(gpu, options)) {
    for (const { name } of adapter.modules) bytes += 4 * sizeOf(shapes.get(`${name}.weight`)!);
  }
  const patches = height * width / config.patch ** 2;
  return bytes + 2 * patches * config.headDim / 2 * 4;
}

/** What grows with the images embedded at a time; `checkpointing` is null where nothing is trained. */
function pieceMemory(
  gpu: Gpu,
  options: MemoryOptions,
  { images, checkpointing }: { images: number; checkpointing: boolean | null },
): { activations: number; scratch: number } {
  if (images === 0) return { activations: 0, scratch: 0 };
  const { backbone, adapter, precision } = options;
  const { embedDim: c, mlpHidden: f, depth, heads, gated } = backbone.config;
  const isTraining = checkpointing !== null;
  const rows = images * tokensOf(options);
  const e = elementBytes(precision);
  const ranks = ranksByLayer(adapter);
  const widest = Math.max(4, ...ranks.values());
  const h = isMerged(gpu, options) ? 0 : [...ranks.values()].reduce((sum, rank) => sum + rank, 0);

  const streams = isTraining ? depth + 1 : 2;
  const block = e * (4 * c + f * (gated ? 2 : 1) + h) + 4 * (c + heads + 4);
  const blocks = isTraining && !checkpointing ? depth : 1;
  const shared = e * (c + f + Math.max(c, f)) + 4 * 2;
  const backward = e * (Math.max(3 * c, f) + (gated ? f : 0) + 2 * c + 2 * widest) +
    4 * (2 * c + heads);
  return {
    activations: rows * (streams * 4 * c + blocks * block),
    scratch: rows * (shared + (isTraining ? backward : 0)) +
      (isTraining ? 4 * workspaceSize(gpu) : 0),
  };
}

/** The largest rank of each layer, as it is padded. */
function ranksByLayer({ modules }: Adapter): Map<string, number> {
  const ranks = new Map<string, number>();
  for (const { name, rank } of modules) {
    const layer = name.replace(/^blocks\.\d+\./, "");
    ranks.set(layer, Math.max(padTo4(rank), ranks.get(layer) ?? 0));
  }
  return ranks;
}

function textureMemory(
  gpu: Gpu,
  options: MemoryOptions,
  { images, microBatch, evalImages }: Record<"images" | "microBatch" | "evalImages", number>,
): number {
  const { backbone: { config }, adapter, precision, height, width } = options;
  const ranks = ranksByLayer(adapter);
  const layers = parameterShapes(config).entries().flatMap(([name, shape]) => {
    const [, layer] = /^blocks\.0\.(.*)\.weight$/.exec(name) ?? [];
    if (layer === undefined || shape.length !== 2) return [];
    return [{ out: shape[0]!, in: shape[1]!, rank: ranks.get(layer) ?? 0 }];
  }).toArray();
  const grid = height * width / config.patch ** 2;
  const works = [
    { all: images, piece: microBatch, isTraining: true },
    { all: evalImages, piece: evalImages, isTraining: false },
  ];
  return texelMemory(
    gpu,
    works.filter(({ piece }) => piece > 0).map(({ all, piece, isTraining }) => ({
      ...{ precision, layers, isTraining, isMerged: isMerged(gpu, options), grid },
      ...{ rows: piece * tokensOf(options), patches: piece * grid },
      head: { ...headSizes(options), images: all },
      trainables: flatSize(adapter),
      ...{ embedDim: config.embedDim, headDim: config.headDim, mlpHidden: config.mlpHidden },
      ...{ gated: config.gated, patchSize: 3 * config.patch ** 2 },
    })),
  );
}

/** Pixels, pooled tokens and the head's rows. */
function imageMemory(options: MemoryOptions, images: number): number {
  const { backbone: { config: { embedDim } }, height, width } = options;
  const { hidden, embedDim: dim } = headSizes(options);
  return images * (height * width * 3 + 4 * (embedDim + 3 * hidden + (hidden ? 4 : 3) * dim + 1));
}

/** Without a head embeddings are pooled tokens. */
function headSizes(
  { adapter: { head }, backbone: { config } }: MemoryOptions,
): { hidden: number; embedDim: number } {
  return head ?? { hidden: 0, embedDim: config.embedDim };
}

function isMerged(gpu: Gpu, { precision, adapter: { dropout } }: MemoryOptions): boolean {
  return mergesBest(gpu, { precision, dropout });
}

function tokensOf({ backbone: { config }, height, width }: MemoryOptions): number {
  return prefixTokens(config) + height * width / config.patch ** 2;
}
