/**
 * Sizes of the DINOv3 vision transformers with 16 × 16 patches, and the names and shapes of their
 * parameters as timm has them.
 *
 * @see https://github.com/huggingface/pytorch-image-models timm/models/eva.py
 *
 * @module
 */
import { sizeOf } from "../kernels/gpu.ts";

/** A size of the backbone. Every linear layer but qkv has a bias. */
export interface ViTConfig {
  /** timm's name with the tag of the training data. */
  name: string;
  /** Width C of a token. */
  embedDim: number;
  /** Blocks. */
  depth: number;
  /** Attention heads of a block. */
  heads: number;
  /** `embedDim / heads`. */
  headDim: number;
  /** Width between the layers of an MLP. */
  mlpHidden: number;
  /** SwiGLU (fc1_g, fc1_x, fc2) instead of fc1, GELU, fc2. */
  gated: boolean;
  /** Side of a patch in pixels. */
  patch: number;
  /** Register tokens, which follow the class token. */
  registers: number;
  /** Base of the RoPE periods: `temperature ** (j / 16)` for j below 16. */
  ropeTemperature: number;
  /** Added to the variance in every layer norm. */
  eps: number;
  /** Mean of R, G and B, of pixels in 0..1. */
  mean: readonly [number, number, number];
  /** Standard deviation likewise. */
  std: readonly [number, number, number];
}

const HEAD_DIM = 64;

type Size = Pick<ViTConfig, "embedDim" | "depth" | "heads" | "mlpHidden" | "gated">;

/** By timm's name and by Meta's. */
const SIZES: readonly (readonly [timm: string, meta: string, size: Size])[] = [
  ["vit_small_patch16_dinov3", "vits16", vit(384, 12, 1536, false)],
  ["vit_small_plus_patch16_dinov3", "vits16plus", vit(384, 12, 1536, true)],
  ["vit_base_patch16_dinov3", "vitb16", vit(768, 12, 3072, false)],
  ["vit_large_patch16_dinov3", "vitl16", vit(1024, 24, 4096, false)],
];

/** Pixel statistics by the tag of the training data. */
const TAGS: ReadonlyMap<string, Pick<ViTConfig, "mean" | "std">> = new Map([
  ["lvd1689m", { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] }],
  ["sat493m", { mean: [0.430, 0.411, 0.296], std: [0.213, 0.156, 0.143] }], // large only
]);

function vit(embedDim: number, depth: number, mlpHidden: number, gated: boolean): Size {
  return { embedDim, depth, heads: embedDim / HEAD_DIM, mlpHidden, gated };
}

/** Names that {@linkcode modelConfig} knows, in timm's form. */
export const MODEL_NAMES: readonly string[] = [
  ...SIZES.map(([name]) => `${name}.lvd1689m`),
  "vit_large_patch16_dinov3.sat493m",
];

/**
 * Looks up a backbone.
 *
 * @param name timm's name with or without `timm/` and tag (`vit_small_patch16_dinov3.lvd1689m`),
 *   Hugging Face's (`facebook/dinov3-vits16-pretrain-lvd1689m`), or Meta's (`vits16`).
 * @param overrides `depth`: use only the first blocks.
 * @throws {RangeError} If the name is unknown, or the depth is not one that the model has.
 */
export function modelConfig(name: string, overrides: { depth?: number } = {}): ViTConfig {
  const parts = /^(?:timm\/|facebook\/dinov3-)?(\w+?)(?:(?:\.|-pretrain-)(\w+))?$/.exec(name);
  const found = SIZES.find(([timm, meta]) => parts?.[1] === timm || parts?.[1] === meta);
  const tag = parts?.[2] ?? "lvd1689m";
  const pixels = TAGS.get(tag);
  if (!found || !pixels || !MODEL_NAMES.includes(`${found[0]}.${tag}`)) {
    throw new RangeError(`Cannot use model "${name}": expected one of ${MODEL_NAMES.join(", ")}`);
  }
  const [timm, , size] = found;
  const depth = overrides.depth ?? size.depth;
  if (!(Number.isInteger(depth) && depth >= 1 && depth <= size.depth)) {
    throw new RangeError(
      `Cannot use the first ${depth} blocks of model "${name}": expected 1 to ${size.depth}`,
    );
  }
  return {
    name: `${timm}.${tag}`,
    ...size,
    depth,
    headDim: HEAD_DIM,
    patch: 16,
    registers: 4,
    ropeTemperature: 100,
    eps: 1e-5,
    ...pixels,
  };
}

/**
 * What a name says that anybody may have written: timm's name of the backbone, and whether it was
 * given with the tag of the training data. Null where {@linkcode modelConfig} does not know it.
 */
export function knownModel(name: string): { name: string; hasTag: boolean } | null {
  try {
    return { name: modelConfig(name).name, hasTag: TAGS.keys().some((tag) => name.endsWith(tag)) };
  } catch {
    return null;
  }
}

/** Repositories of Hugging Face that hold the weights, timm's first. */
export function weightRepositories({ name }: ViTConfig): [timm: string, meta: string] {
  const [timm, tag] = name.split(".");
  const meta = SIZES.find(([each]) => each === timm)?.[1];
  return [`timm/${name}`, `facebook/dinov3-${meta}-pretrain-${tag}`];
}

/** Tokens in front of the patches: the class token and the registers. */
export function prefixTokens({ registers }: ViTConfig): number {
  return 1 + registers;
}

/** Shapes of all parameters by timm's name, in timm's order; linear weights are (out, in). */
export function parameterShapes(config: ViTConfig): Map<string, number[]> {
  const { embedDim: c, mlpHidden, patch } = config;
  const shapes = new Map<string, number[]>([
    ["cls_token", [1, 1, c]],
    ["reg_token", [1, config.registers, c]],
    ["patch_embed.proj.weight", [c, 3, patch, patch]],
    ["patch_embed.proj.bias", [c]],
  ]);
  for (let i = 0; i < config.depth; i++) {
    const block = `blocks.${i}`;
    shapes.set(`${block}.gamma_1`, [c]).set(`${block}.gamma_2`, [c]);
    shapes.set(`${block}.norm1.weight`, [c]).set(`${block}.norm1.bias`, [c]);
    shapes.set(`${block}.attn.qkv.weight`, [3 * c, c]);
    setLinear(shapes, `${block}.attn.proj`, [c, c]);
    shapes.set(`${block}.norm2.weight`, [c]).set(`${block}.norm2.bias`, [c]);
    for (const name of config.gated ? ["fc1_g", "fc1_x"] : ["fc1"]) {
      setLinear(shapes, `${block}.mlp.${name}`, [mlpHidden, c]);
    }
    setLinear(shapes, `${block}.mlp.fc2`, [c, mlpHidden]);
  }
  return shapes.set("norm.weight", [c]).set("norm.bias", [c]);
}

/** Number of values in all parameters. */
export function parameterCount(config: ViTConfig): number {
  let count = 0;
  for (const shape of parameterShapes(config).values()) count += sizeOf(shape);
  return count;
}

function setLinear(shapes: Map<string, number[]>, name: string, shape: [number, number]): void {
  shapes.set(`${name}.weight`, shape).set(`${name}.bias`, [shape[0]]);
}
