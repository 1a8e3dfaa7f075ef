/**
 * The backbone over a batch of images: from pixels to one vector an image, and back to the
 * gradients of the adapters.
 *
 * A batch may be walked in pieces (micro-batches), and a piece may keep only the inputs of its
 * blocks (gradient checkpointing): memory then depends on neither batch nor depth, and the numbers
 * stay the same.
 *
 * Room that is reused, in the order of its lives; each time it is written anew before it is read:
 *
 *     hidden       patch rows; in each block the activation's output, in a gated backward the gate's gradient
 *     gradient.dy  patch embeddings; output of the last norm; gradient of the residual stream
 *     wide         in each block the gradient of its hidden layer, then of its qkv
 *     narrow       gradient of the last norm's output; in each block of norm 2's, of the heads, of norm 1's
 *
 * In inference the tensor x that is not in use takes the place of `gradient.dy`.
 *
 * @module
 */
import { gemm, workspaceSize } from "../kernels/gemm.ts";
import { createTensor, type Gpu, type Tensor, viewTensor } from "../kernels/gpu.ts";
import { layerNorm, layerNormBackward } from "../kernels/layer_norm.ts";
import { patchify } from "../kernels/patchify.ts";
import type { Plan } from "../kernels/plan.ts";
import { pool, poolBackward, type PoolMode } from "../kernels/pool.ts";
import type { Dropout, Sites } from "../kernels/sites.ts";
import { tokens as tokensKernel } from "../kernels/tokens.ts";
import {
  type Activations,
  blockBackward,
  blockForward,
  createActivations,
  createScratch,
  destroyTensors,
  firstImages,
  type Pass,
  type Scratch,
} from "./block.ts";
import { prefixTokens } from "./config.ts";
import { type Linear, mergeLora } from "./linear.ts";
import { linearsOf, type Network } from "./network.ts";

/** Options of {@linkcode Encoder}. */
export interface EncoderOptions {
  /** Images in a batch. */
  images: number;
  /** Images a piece; the whole batch by default. */
  microBatch?: number;
  /** `avg`: mean of the patch tokens; `token`: the class token. */
  pool: PoolMode;
  /** Null for inference. */
  training: { checkpointing: boolean; dropout: { rate: number; sites: Sites } | null } | null;
  /** What the caller writes: u8 pixels, or patch rows made elsewhere. Default `pixels`. */
  input?: "pixels" | "rows";
}

/** What the forward of one piece leaves. */
export interface Kept {
  /** Inputs of the blocks and the output of the last one, `(images, tokens, C)` f32. */
  x: Tensor[];
  /** By block; one for all where nothing but `x` is kept. */
  blocks: Activations[];
  /** `(rows, 2)` f32: statistics of the last norm. */
  stats: Tensor;
}

/** Records the backbone's forward and backward over tensors of its own. */
export class Encoder {
  readonly #gpu: Gpu;
  readonly #network: Network;
  readonly #options: EncoderOptions;
  readonly #microBatch: number;
  readonly #kept: Kept;
  readonly #scratch: Scratch;
  readonly #gradient: { dy: Tensor; scaled: Tensor } | null;
  readonly #workspace: Tensor | null;
  readonly #dropouts = new Map<string, Dropout>();
  /** `(images, height, width, 3)` u8 RGB, or `(images × patches, 768)` f32 patch rows. */
  readonly input: Tensor;
  /** `(images, C)` f32: pooled tokens after the last norm. */
  readonly pooled: Tensor;
  /** `(images, C)` f32: their gradient, to be filled before the backward; null in inference. */
  readonly dPooled: Tensor | null;

  constructor(gpu: Gpu, network: Network, options: EncoderOptions) {
    const { images, microBatch = images, training } = options;
    const { config, tokens, precision, grid } = network;
    const { embedDim, patch, depth } = config;
    this.#gpu = gpu;
    this.#network = network;
    this.#options = options;
    this.#microBatch = Math.min(microBatch, images);
    const width = 3 * patch * patch;
    this.input = options.input === "rows"
      ? createTensor(gpu, [images * grid.height * grid.width, width])
      : createTensor(gpu, [images, grid.height * patch, grid.width * patch, 3], "u8");
    this.pooled = createTensor(gpu, [images, embedDim]);
    this.dPooled = training && createTensor(gpu, [images, embedDim]);

    const piece = { images: this.#microBatch };
    // The residual stream is f32 also at f16: what each block adds is small beside it.
    const shape = [piece.images, tokens, embedDim];
    const make = () => createTensor(gpu, shape);
    const keepsBlocks = training !== null && !training.checkpointing;
    const merged = network.blocks.every((block) =>
      linearsOf(block).every(({ lora }) => !lora || lora.merged)
    );
    const activations = () => createActivations(gpu, network, { ...piece, h: !merged });
    // Inference passes x back and forth between two tensors.
    const pair = training ? [] : [make(), make()];
    this.#kept = {
      x: Array.from({ length: depth + 1 }, (_, i) => pair[i % 2] ?? make()),
      blocks: Array.from({ length: keepsBlocks ? depth : 1 }, activations),
      stats: createTensor(gpu, [piece.images * tokens, 2]),
    };
    this.#scratch = createScratch(gpu, network, { ...piece, training: training !== null });
    const room = training ? workspaceSize(gpu) : 0;
    this.#workspace = room > 0 ? createTensor(gpu, [room]) : null;
    this.#gradient = training && { dy: make(), scaled: createTensor(gpu, shape, precision) };
  }

  /** What the last forward left, in the order of the blocks: for tests and for looking inside. */
  get kept(): Kept {
    return this.#kept;
  }

  /** Frees everything but the network. */
  destroy(): void {
    destroyTensors(this.#gpu, [this.#kept, this.#scratch, this.#gradient, this.#workspace]);
    destroyTensors(this.#gpu, [this.input, this.pooled, this.dPooled]);
  }

  /** Records W + s·B·A of all merged adapters; they change every step. */
  recordMerge(plan: Plan): void {
    const { blocks, ones } = this.#network;
    for (const linear of blocks.flatMap(linearsOf)) mergeLora(plan, linear, ones);
  }

  /** Records from {@linkcode input} to {@linkcode pooled}. */
  recordForward(plan: Plan): void {
    for (const piece of this.#pieces(plan)) this.#forward(piece);
  }

  /**
   * Records from {@linkcode dPooled} to the gradients of the adapters, which are added to. Right
   * after the forward, but for what touches neither input nor activations.
   */
  recordBackward(plan: Plan): void {
    const [last, ...others] = this.#pieces(plan).reverse();
    this.#backward(last!); // what it kept is still there, in the place of what others kept
    for (const piece of others) {
      this.#forward(piece);
      this.#backward(piece);
    }
  }

  #pieces(plan: Plan): Piece[] {
    const { images } = this.#options;
    const pieces: Piece[] = [];
    for (let start = 0; start < images; start += this.#microBatch) {
      const count = Math.min(this.#microBatch, images - start);
      pieces.push({
        pass: {
          plan,
          network: this.#network,
          images: count,
          dropout: (linear) => this.#dropout(linear, start),
          workspace: this.#workspace,
        },
        start,
        kept: firstImages(this.#gpu, this.#kept, { count, of: this.#microBatch }),
        scratch: firstImages(this.#gpu, this.#scratch, { count, of: this.#microBatch }),
        gradient: this.#gradient &&
          firstImages(this.#gpu, this.#gradient, { count, of: this.#microBatch }),
      });
    }
    return pieces;
  }

  /** One site for each layer and piece, shared by forward and backward. */
  #dropout({ name, lora }: Linear, start: number): Dropout {
    const dropout = this.#options.training?.dropout;
    if (!dropout || !lora) return null;
    const key = `${name} ${start}`;
    const first = start * this.#network.tokens * lora.a.shape[1]!;
    const found = this.#dropouts.get(key) ??
      { rate: dropout.rate, site: dropout.sites.add(lora.index, first) };
    this.#dropouts.set(key, found);
    return found;
  }

  /** A piece's part of a tensor that holds all images. */
  #part(tensor: Tensor, { start, pass }: Piece): Tensor {
    const [all, ...rest] = tensor.shape as [number, ...number[]];
    const perImage = all / this.#options.images;
    const image = perImage * rest.reduce((size, n) => size * n, 1);
    return viewTensor(this.#gpu, tensor, {
      start: start * image,
      shape: [pass.images * perImage, ...rest],
    });
  }

  #forward(piece: Piece): void {
    const { pass, kept, scratch, gradient } = piece;
    const { plan, network, images } = pass;
    const { patch, prefix, norm, config, grid, blocks } = network;
    const patches = images * grid.height * grid.width;
    const input = this.#part(this.input, piece);
    // The wide hidden layer is not in use yet: patch rows and patches fit into it.
    const rows = this.#options.input === "rows" ? input : viewTensor(this.#gpu, scratch.hidden, {
      start: 0,
      shape: [patches, 3 * config.patch * config.patch],
    });
    if (rows !== input) {
      patchify(plan, { pixels: input, rows, mean: config.mean, std: config.std });
    }
    const spare = gradient?.dy ?? kept.x[1]!; // not in use before the first block
    const embedded = viewTensor(this.#gpu, spare, {
      start: 0,
      shape: [patches, config.embedDim],
    });
    gemm(plan, {
      form: "nt",
      a: rows,
      b: patch.weight,
      c: embedded,
      bias: patch.bias,
      label: "patch_embed",
    });
    tokensKernel(plan, { patches: embedded, prefix, x: kept.x[0]! });
    blocks.forEach((block, i) => {
      const keep = kept.blocks[i] ?? kept.blocks[0]!;
      blockForward(pass, block, { x: kept.x[i]!, y: kept.x[i + 1]!, keep, scratch });
    });
    const last = kept.x[config.depth]!;
    const normed = gradient?.dy ?? kept.x[config.depth - 1]!; // nor after the last one
    layerNorm(plan, { x: last, ...norm, y: normed, stats: kept.stats, eps: config.eps });
    pool(plan, {
      x: normed,
      y: this.#part(this.pooled, piece),
      mode: this.#options.pool,
      prefix: prefixTokens(config),
    });
  }

  #backward(piece: Piece): void {
    const { pass, kept, scratch, gradient } = piece;
    const { plan, network } = pass;
    const { norm, config, blocks } = network;
    if (!this.dPooled || !gradient || !scratch.backward) {
      throw new TypeError("Cannot record a backward: the encoder was made for inference");
    }
    const last = kept.x[config.depth]!;
    const dNorm = viewTensor(this.#gpu, scratch.backward.narrow, { start: 0, shape: last.shape });
    poolBackward(plan, {
      dy: this.#part(this.dPooled, piece),
      dx: dNorm,
      mode: this.#options.pool,
      prefix: prefixTokens(config),
    });
    layerNormBackward(plan, {
      dy: dNorm,
      x: last,
      weight: norm.weight,
      stats: kept.stats,
      residual: null,
      dx: gradient.dy,
      scale: blocks[config.depth - 1]!.gamma2,
      scaled: gradient.scaled,
    });
    for (let i = config.depth - 1; i >= 0; i--) {
      const x = kept.x[i]!;
      const keep = kept.blocks[i] ?? kept.blocks[0]!;
      // With one set of activations for all blocks only the last block's are there.
      if (kept.blocks.length < config.depth && i < config.depth - 1) {
        blockForward(pass, blocks[i]!, { x, y: null, keep, scratch });
      }
      const below = blocks[i - 1] ?? null;
      blockBackward(pass, blocks[i]!, { x, keep, scratch, gradient, below });
    }
  }
}

/** Images that are walked together, and their part of every tensor. */
interface Piece {
  pass: Pass;
  /** First image. */
  start: number;
  kept: Kept;
  scratch: Scratch;
  gradient: { dy: Tensor; scaled: Tensor } | null;
}
