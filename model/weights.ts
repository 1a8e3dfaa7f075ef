/**
 * The frozen backbone from a safetensors file, in whichever of three dialects it is written: timm's
 * (plain or `_qkvb`), Hugging Face's `DINOv3ViTModel`, or Meta's. Nothing is converted beforehand
 * and every name and shape is checked.
 *
 * @see https://github.com/huggingface/pytorch-image-models timm/models/eva.py checkpoint_filter_fn
 * @see https://github.com/huggingface/transformers convert_dinov3_vit_to_hf.py
 *
 * @module
 */
import { createHash } from "node:crypto";
import { parameterShapes, type ViTConfig } from "./config.ts";
import {
  type FloatTensor,
  readSafetensors,
  type SafetensorsFile,
  toFloat32,
} from "./safetensors.ts";

/** Parameters of a backbone under timm's names. */
export interface Backbone {
  /** Its size. */
  readonly config: ViTConfig;
  /**
   * True if some bias of q or v is not 0. Then there is a parameter `blocks.i.attn.qkv.bias`,
   * `(3 embedDim)`, in each block; its k third is 0. Released weights have no such bias.
   */
  readonly qvBias: boolean;
  /**
   * One parameter, row-major; its shape is that of `parameterShapes(config)`. It may be converted
   * anew, or be a view of the file's memory: to be read once and not to be written.
   *
   * @throws {RangeError} If there is no parameter of that name.
   * @throws {TypeError} If a value is not finite.
   */
  get(name: string): Float32Array<ArrayBuffer>;
}

function qkvBiasOf(block: number): string {
  return `blocks.${block}.attn.qkv.bias`;
}

/** SHA-256 of the parameters that are used, the same whatever dialect their file is written in. */
export function digestOf(backbone: Backbone): string {
  const hash = createHash("sha256");
  const { config, qvBias } = backbone;
  const biases = qvBias ? Array.from({ length: config.depth }, (_, i) => qkvBiasOf(i)) : [];
  for (const name of [...parameterShapes(config).keys(), ...biases]) {
    const { buffer, byteOffset, byteLength } = backbone.get(name);
    hash.update(new Uint8Array(buffer, byteOffset, byteLength));
  }
  return hash.digest("hex");
}

/** How a file names what timm names otherwise. */
interface Dialect {
  /** Replaced in timm's name one after the other. */
  names: readonly (readonly [timm: string, theirs: string])[];
  /** Parts of `attn.qkv.weight`, by rows. */
  qkv: readonly string[];
  /** Biases of q and v, or of q, k and v in one. */
  bias: readonly string[];
}

const TIMM: Dialect = {
  names: [],
  qkv: ["attn.qkv.weight"],
  bias: ["attn.q_bias", "attn.v_bias"],
};

const HUGGING_FACE: Dialect = {
  names: [
    ["cls_token", "embeddings.cls_token"],
    ["reg_token", "embeddings.register_tokens"],
    ["patch_embed.proj", "embeddings.patch_embeddings"],
    ["blocks.", "layer."],
    ["gamma_1", "layer_scale1.lambda1"],
    ["gamma_2", "layer_scale2.lambda1"],
    ["attn.proj", "attention.o_proj"],
    ["mlp.fc1_g", "mlp.gate_proj"],
    ["mlp.fc1_x", "mlp.up_proj"], // a gated MLP's up_proj is not a plain one's: see the next line
    ["mlp.fc1", "mlp.up_proj"],
    ["mlp.fc2", "mlp.down_proj"],
  ],
  qkv: ["q", "k", "v"].map((part) => `attention.${part}_proj.weight`),
  bias: ["attention.q_proj.bias", "attention.v_proj.bias"],
};

const META: Dialect = {
  names: [
    ["reg_token", "storage_tokens"],
    ["gamma_1", "ls1.gamma"],
    ["gamma_2", "ls2.gamma"],
  ],
  qkv: ["attn.qkv.weight"],
  bias: ["attn.qkv.bias"],
};

const META_GATED: Dialect = {
  ...META,
  names: [...META.names, ["mlp.fc1_g", "mlp.w1"], ["mlp.fc1_x", "mlp.w2"], ["mlp.fc2", "mlp.w3"]],
};

/** What a wrapper module puts before a name (`model.`, `backbone.`). */
const WRAPPER =
  /^(?:[^.]+\.)*?(?=(?:(?:cls|reg|mask)_token|storage_tokens|patch_embed|blocks|norm|rope_embed|embeddings|layer)(?:\.|$))/;

/**
 * Not of use here: the token that hides patches in pretraining, heads of pretraining, and the RoPE
 * periods, which Meta stores rounded to bf16 while timm computes them.
 */
const IGNORED = /(?:^|\.)mask_token$|\.bias_mask$|\.periods$|^projectors\.|^local_cls_norm\./;

/**
 * Loads a backbone.
 *
 * The file stays in memory as long as the result; see {@linkcode Backbone.get}.
 *
 * @param path A `.safetensors` file with exactly the tensors of `config`.
 * @throws {TypeError} If a tensor is missing, not expected, or of another shape or type, or if the
 *   file is a PyTorch pickle.
 * @throws {SyntaxError} If the file is damaged.
 * @throws {Error} If the file cannot be read.
 */
export async function loadBackbone(path: string, config: ViTConfig): Promise<Backbone> {
  return backboneOfFile(await readWeights(path), config);
}

/**
 * Reads a file of weights without looking at its tensors.
 *
 * @throws {TypeError} If the file is a PyTorch pickle.
 * @throws {SyntaxError} If the file is damaged.
 * @throws {Error} If the file cannot be read.
 */
export async function readWeights(path: string): Promise<SafetensorsFile> {
  if (/\.(?:pth?|bin|ckpt)$/.test(path)) {
    throw new TypeError(
      `Cannot load ${path}: it is a PyTorch pickle, expected a .safetensors file; in Python: ` +
        `safetensors.torch.save_file(torch.load(${JSON.stringify(path)}), "model.safetensors")`,
    );
  }
  return await readSafetensors(path);
}

/**
 * A backbone over a parsed file.
 *
 * @throws {TypeError} If a tensor is missing, not expected, or of another shape.
 */
export function backboneOfFile(file: SafetensorsFile, config: ViTConfig): Backbone {
  const fail = (problem: string): never => {
    throw new TypeError(`Cannot load ${file.path} as ${config.name}: ${problem}`);
  };
  const unread = new Map<string, string>(); // name without wrapper -> name in the file
  for (const name of file.tensors.keys()) {
    const plain = name.replace(WRAPPER, "");
    if (unread.has(plain)) fail(`"${name}" and "${unread.get(plain)}" both name "${plain}"`);
    if (!IGNORED.test(plain)) unread.set(plain, name);
  }
  const dialect = dialectOf(unread, config);

  /** Takes a tensor off the list of unread ones and returns its name in the file. */
  const take = (name: string, shape: readonly number[]): string => {
    const stored = unread.get(name) ?? fail(`tensor "${name}", (${shape}), is missing`);
    const found = file.tensors.get(stored)!.shape;
    if (`${found}` !== `${shape}`) fail(`tensor "${stored}" is (${found}), expected (${shape})`);
    unread.delete(name);
    return stored;
  };

  const sources = new Map<string, { names: string[]; shape: number[] }>();
  for (const [name, whole] of parameterShapes(config)) {
    const theirs = name.endsWith("attn.qkv.weight")
      ? dialect.qkv.map((part) => name.replace("attn.qkv.weight", part))
      : [name];
    const shape = whole.with(0, whole[0]! / theirs.length);
    const names = theirs.map((each) => take(translate(each, dialect), shape));
    sources.set(name, { names, shape });
  }
  const biases = new Map<string, Float32Array<ArrayBuffer>>();
  const biasNames = (block: number) =>
    dialect.bias.map((name) => translate(`blocks.${block}.${name}`, dialect));
  const hasBias = biasNames(0).some((name) => unread.has(name));
  for (let block = 0; hasBias && block < config.depth; block++) {
    const names = biasNames(block);
    const shape = [config.embedDim * (names.length === 1 ? 3 : 1)];
    const parts = names.map((name) => toFloat32(file, take(name, shape)));
    biases.set(qkvBiasOf(block), joinBias(parts, config.embedDim));
  }
  for (const name of unread.values()) fail(`tensor "${name}" is not expected`);

  const qvBias = [...biases.values()].some((bias) => bias.some((value) => value !== 0));
  return {
    config,
    qvBias,
    get(name) {
      const bias = qvBias ? biases.get(name) : undefined;
      if (bias) return bias;
      const { names, shape } = sources.get(name) ?? noParameter(name, config);
      const parts = names.map((each) => toFloat32(file, each, shape));
      return parts.length === 1 ? parts[0]! : concatenate(parts);
    },
  };
}

/** A backbone over values under timm's names, such as those of `randomBackbone`. */
export function backboneOfTensors(
  tensors: ReadonlyMap<string, Float32Array<ArrayBuffer>>,
  config: ViTConfig,
): Backbone {
  return {
    config,
    qvBias: tensors.has(qkvBiasOf(0)),
    get: (name) => tensors.get(name) ?? noParameter(name, config),
  };
}

/**
 * All parameters as they go into a timm file: a `_qkvb` one if q or v have a bias.
 *
 * @throws {TypeError} If a value is not finite.
 */
export function timmTensors(backbone: Backbone): Map<string, FloatTensor> {
  const { config, qvBias } = backbone;
  const tensors = new Map<string, FloatTensor>();
  for (const [name, shape] of parameterShapes(config)) {
    tensors.set(name, { shape, data: backbone.get(name) });
  }
  const width = config.embedDim;
  for (let block = 0; qvBias && block < config.depth; block++) {
    const bias = backbone.get(qkvBiasOf(block));
    const [q, v] = [bias.subarray(0, width), bias.subarray(2 * width)];
    tensors.set(`blocks.${block}.attn.q_bias`, { shape: [width], data: q });
    tensors.set(`blocks.${block}.attn.v_bias`, { shape: [width], data: v });
  }
  return tensors;
}

function dialectOf(names: ReadonlyMap<string, string>, { gated }: ViTConfig): Dialect {
  if (names.has("embeddings.register_tokens")) return HUGGING_FACE;
  if (names.has("storage_tokens")) return gated ? META_GATED : META;
  return TIMM;
}

function translate(name: string, { names }: Dialect): string {
  return names.reduce((result, [timm, theirs]) => result.replace(timm, theirs), name);
}

/** `(3 width)` from the biases of q and v, or from Meta's own, whose k third its model masks. */
function joinBias(parts: readonly Float32Array[], width: number): Float32Array<ArrayBuffer> {
  const bias = new Float32Array(3 * width);
  bias.set(parts[0]!.subarray(0, width));
  bias.set(parts.at(-1)!.slice(-width), 2 * width);
  return bias;
}

function concatenate(parts: readonly Float32Array[]): Float32Array<ArrayBuffer> {
  const whole = new Float32Array(parts.reduce((size, part) => size + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}

function noParameter(name: string, config: ViTConfig): never {
  throw new RangeError(`Cannot use parameter "${name}": ${config.name} has none of that name`);
}
