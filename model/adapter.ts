/**
 * A checkpoint is a PEFT adapter: a folder with `adapter_config.json` and
 * `adapter_model.safetensors`, which PEFT loads into a timm model with the same head.
 *
 * @see https://github.com/huggingface/peft src/peft/utils/save_and_load.py
 *
 * @module
 */
import { dirname, join } from "node:path";
import { z } from "zod";
import type { PoolMode } from "../kernels/pool.ts";
import { knownModel, parameterShapes, type ViTConfig } from "./config.ts";
import { exists, wholeFolder, writeFolderAtomic } from "./files.ts";
import { show } from "../data/json.ts";
import { readText } from "../data/read.ts";
import {
  isTarget,
  MAX_PATH,
  parsePeftConfig,
  type PeftConfig,
  peftConfigText,
  rankAndAlpha,
} from "./peft_config.ts";
import {
  encodeSafetensors,
  type FloatTensor,
  readSafetensors,
  type SafetensorsFile,
  toFloat32,
} from "./safetensors.ts";

/** Low-rank update of one linear layer: W + s B A, with s of {@linkcode loraScaling}. */
export interface LoraModule {
  /** timm's name of the layer, such as `blocks.0.attn.qkv`. */
  name: string;
  /** Rows of A. */
  rank: number;
  /** Numerator of the scaling. */
  alpha: number;
  /** `(rank, in)`. */
  loraA: Float32Array<ArrayBuffer>;
  /** `(out, rank)`. */
  loraB: Float32Array<ArrayBuffer>;
}

/** Linear, ReLU, dropout, linear: from pooled tokens to embeddings. */
export interface HeadWeights {
  /** Width between the two layers. */
  hidden: number;
  /** Width of an embedding. */
  embedDim: number;
  /** `(hidden, width of the backbone)`. */
  weight1: Float32Array<ArrayBuffer>;
  /** `(hidden)`. */
  bias1: Float32Array<ArrayBuffer>;
  /** `(embedDim, hidden)`. */
  weight2: Float32Array<ArrayBuffer>;
  /** `(embedDim)`. */
  bias2: Float32Array<ArrayBuffer>;
}

/** How images entered the model while it was trained. */
export interface AdapterInput {
  /** Side of an image, px. */
  imgSize: number;
  /** What became of its tokens. */
  pool: PoolMode;
  /** Blocks of the backbone that ran. */
  depth: number;
  /** `digestOf` the backbone, undefined if unknown. */
  weights?: string | undefined;
}

/** All that is trained. */
export interface Adapter {
  /** At least one. */
  modules: LoraModule[];
  /** Null where the pooled tokens are the embedding. */
  head: HeadWeights | null;
  /** ln of the inverse temperature, null if unknown. PEFT has no place for it: text in the file. */
  logitScale: number | null;
  /** Probability that training drops an input of A. */
  dropout: number;
  /** Scaling of rsLoRA. */
  rslora: boolean;
  /** Name for `modelConfig`, null if unknown. */
  baseModel: string | null;
  /** Null if unknown: PEFT has no place for it either. */
  input: AdapterInput | null;
}

/** How images enter the model by default. */
export const DEFAULT_INPUT = { imgSize: 384, pool: "avg" } as const;

const CONFIG_FILE = "adapter_config.json";
const TENSORS_FILE = "adapter_model.safetensors";

/** Keys in the metadata of the tensors, where PEFT does not look. */
const LOGIT_SCALE = "logit_scale";
const INPUT = "input";

const INPUT_SCHEMA = z.object({
  imgSize: z.int().positive().multipleOf(16),
  pool: z.enum(["avg", "token"]),
  depth: z.int().positive(),
  weights: z.string().regex(/^[0-9a-f]{64}$/).optional(),
});

/** The factor s of an update: alpha / r, or alpha / sqrt(r) with rsLoRA (arXiv:2312.03732). */
export function loraScaling(rank: number, alpha: number, rslora: boolean): number {
  return rslora ? alpha / Math.sqrt(rank) : alpha / rank;
}

/**
 * Content of the files of an adapter folder, by name.
 *
 * @throws {RangeError} If there is no module.
 * @throws {TypeError} If a value is not finite.
 */
export function encodeAdapter(adapter: Adapter): Map<string, Uint8Array | string> {
  const { modules, head, logitScale, input } = adapter;
  const [first] = modules;
  if (!first) {
    throw new RangeError("Cannot store an adapter: it has 0 modules, expected at least 1");
  }
  const tensors = new Map<string, FloatTensor>();
  const put = (key: string, shape: number[], data: Float32Array) =>
    tensors.set(`base_model.model.${key}`, { shape, data });
  const config: PeftConfig = {
    base_model_name_or_path: adapter.baseModel,
    r: first.rank,
    lora_alpha: first.alpha,
    lora_dropout: adapter.dropout,
    use_rslora: adapter.rslora,
    target_modules: targetsOf(modules),
    modules_to_save: head ? ["head"] : null,
    rank_pattern: {},
    alpha_pattern: {},
  };
  for (const { name, rank, alpha, loraA, loraB } of modules) {
    put(`${name}.lora_A.weight`, [rank, loraA.length / rank], loraA);
    put(`${name}.lora_B.weight`, [loraB.length / rank, rank], loraB);
    if (rank !== first.rank) config.rank_pattern[name] = rank;
    if (alpha !== first.alpha) config.alpha_pattern[name] = alpha;
  }
  for (const [name, { shape, data }] of head ? headTensors(head) : []) put(name, shape, data);
  const metadata = {
    format: "pt",
    ...(logitScale !== null && { [LOGIT_SCALE]: `${logitScale}` }),
    ...(input !== null && { [INPUT]: JSON.stringify(input) }),
  };
  return new Map<string, Uint8Array | string>([
    [CONFIG_FILE, peftConfigText(config)],
    [TENSORS_FILE, encodeSafetensors(tensors, metadata)],
  ]);
}

/** Tensors of a head by the names they have in a timm model with that head. */
export function headTensors(
  { hidden, embedDim, weight1, bias1, weight2, bias2 }: HeadWeights,
): Map<string, { shape: number[]; data: Float32Array }> {
  return new Map([
    ["head.0.weight", { shape: [hidden, weight1.length / hidden], data: weight1 }],
    ["head.0.bias", { shape: [hidden], data: bias1 }],
    ["head.3.weight", { shape: [embedDim, hidden], data: weight2 }], // 1 is ReLU, 2 dropout
    ["head.3.bias", { shape: [embedDim], data: bias2 }],
  ]);
}

/**
 * Writes an adapter folder, whole or not at all.
 *
 * @throws {RangeError} If there is no module.
 * @throws {TypeError} If a value is not finite.
 * @throws {Error} If the folder cannot be written.
 */
export async function writeAdapter(folder: string, adapter: Adapter): Promise<void> {
  await writeFolderAtomic(folder, encodeAdapter(adapter));
}

/** Files of an adapter folder; none without one. */
export function adapterFiles(folder: string | null): string[] {
  return folder === null ? [] : [CONFIG_FILE, TENSORS_FILE].map((name) => join(folder, name));
}

/**
 * Reads an adapter folder, of geolora or of PEFT. {@linkcode checkAdapter} holds it against a model.
 *
 * @throws {TypeError} If an option is not supported, a tensor is missing, not expected or of the
 *   wrong shape, or a layer is adapted that geolora does not adapt.
 * @throws {SyntaxError} If a file is damaged.
 * @throws {Error} If a file cannot be read.
 */
export async function readAdapter(folder: string): Promise<Adapter> {
  const whole = await wholeFolder(folder);
  const config = await readConfig(whole);
  const file = await readSafetensors(join(whole, TENSORS_FILE));
  const unread = new Set(file.tensors.keys());
  const take: Take = (key, shape) => {
    unread.delete(key);
    return toFloat32(file, key, shape(file.tensors.get(key)?.shape ?? []));
  };

  const modules: LoraModule[] = [];
  const pathOf = new Map<string, string>();
  for (const key of file.tensors.keys()) {
    const path = /^base_model\.model\.(.+)\.lora_A\.weight$/.exec(key)?.[1];
    if (path === undefined) continue;
    const name = layerName(path, config, file.path);
    const other = pathOf.get(name);
    if (other !== undefined) refuse(file.path, `"${other}" and "${path}" both adapt "${name}"`);
    pathOf.set(name, path);
    const { rank, alpha } = rankAndAlpha(config, path);
    const loraA = take(key, ([, width = 0]) => [rank, width]);
    const loraB = take(key.replace(/A\.weight$/, "B.weight"), ([height = 0]) => [height, rank]);
    modules.push({ name, rank, alpha, loraA, loraB });
  }
  if (modules.length === 0) refuse(file.path, "it has no lora_A, expected at least 1");
  modules.sort((a, b) => placeOf(a.name) - placeOf(b.name));

  const head = config.modules_to_save?.includes("head") ? readHead(file, take) : null;
  for (const key of unread) {
    refuse(
      file.path,
      `tensor "${key}" is not expected: neither lora_A, lora_B nor of a saved head`,
    );
  }
  return {
    modules,
    head,
    logitScale: readLogitScale(file),
    dropout: config.lora_dropout,
    rslora: config.use_rslora,
    baseModel: config.base_model_name_or_path,
    input: readInput(file),
  };
}

/**
 * Holds an adapter against the backbone it is to be used with.
 *
 * @throws {TypeError} If it was trained on another one, adapts a layer that the backbone has not, or
 *   one of another size.
 */
export function checkAdapter(adapter: Adapter, config: ViTConfig): void {
  const base = adapter.baseModel === null ? null : knownModel(adapter.baseModel);
  if (base?.hasTag && base.name !== config.name) {
    throw new TypeError(
      `Cannot use the adapter with ${config.name}: it was trained on ${base.name}`,
    );
  }
  const shapes = parameterShapes(config);
  const expect = (what: string, found: readonly number[], wanted: readonly number[]) => {
    if (`${found}` === `${wanted}`) return;
    throw new TypeError(
      `Cannot use the adapter with ${config.name}: ${what} is (${found}), expected (${wanted})`,
    );
  };
  for (const { name, rank, loraA, loraB } of adapter.modules) {
    const wanted = shapes.get(`${name}.weight`);
    if (wanted === undefined) {
      throw new TypeError(
        `Cannot use the adapter with ${config.name} of ${config.depth} blocks: ` +
          `it adapts "${name}", which is not in there`,
      );
    }
    expect(`the update of "${name}"`, [loraB.length / rank, loraA.length / rank], wanted);
  }
  if (adapter.head) {
    const { hidden, weight1 } = adapter.head;
    expect("head.0.weight", [hidden, weight1.length / hidden], [hidden, config.embedDim]);
  }
}

/** PEFT's `target_modules`: by kind if all blocks have the kind, else layer by layer. */
function targetsOf(modules: readonly LoraModule[]): string[] {
  const kinds = new Set<string>();
  const blocks = new Set<number>();
  for (const { name } of modules) {
    const [, block, kind] = /^blocks\.(\d+)\.(.+)$/.exec(name)!;
    blocks.add(Number(block));
    kinds.add(kind!);
  }
  const everywhere = Math.max(...blocks) + 1 === blocks.size &&
    modules.length === blocks.size * kinds.size;
  return everywhere ? [...kinds].sort() : modules.map(({ name }) => name);
}

/** Reads a tensor; its shape must be the one that is made of the shape found. */
type Take = (
  key: string,
  shape: (found: readonly number[]) => number[],
) => Float32Array<ArrayBuffer>;

function readHead({ tensors }: SafetensorsFile, take: Take): HeadWeights {
  const first = /^base_model\.model\.(?:.*\.)?head\.0\.weight$/; // perhaps in a wrapper
  const key = [...tensors.keys()].find((each) => first.test(each)) ??
    "base_model.model.head.0.weight";
  const part = (name: string) => key.replace(/0\.weight$/, name);
  const rows = (name: string) => tensors.get(part(name))?.shape[0] ?? 0;
  const [hidden, embedDim] = [rows("0.weight"), rows("3.weight")];
  return {
    hidden,
    embedDim,
    weight1: take(key, ([, width = 0]) => [hidden, width]),
    bias1: take(part("0.bias"), () => [hidden]),
    weight2: take(part("3.weight"), () => [embedDim, hidden]),
    bias2: take(part("3.bias"), () => [embedDim]),
  };
}

async function readConfig(folder: string): Promise<PeftConfig> {
  const path = join(folder, CONFIG_FILE);
  const text = await readText(path).catch(async (error: Error) => {
    const info = await Deno.stat(folder).catch(() => null);
    if (info?.isFile) {
      throw new TypeError(
        `Cannot read ${folder}: it is a file, expected its folder, ${dirname(folder)}`,
      );
    }
    const isMissing = error.cause instanceof Deno.errors.NotFound;
    const below = isMissing ? await adapterBelow(folder) : null;
    if (below === null) throw error;
    const problem = `${error.message}, expected an adapter's folder, as ${below}`;
    throw new Error(problem, { cause: error });
  });
  try {
    return parsePeftConfig(text);
  } catch (cause) {
    const Kind = cause instanceof SyntaxError ? SyntaxError : TypeError;
    throw new Kind(`Cannot load ${path}: ${(cause as Error).message}`, { cause });
  }
}

/** The best adapter of a run, for whoever names the run; null if the folder is none. */
async function adapterBelow(folder: string): Promise<string | null> {
  for (const name of ["final", "best_overall", "last"]) {
    const below = join(folder, name);
    if (await exists(join(below, CONFIG_FILE))) return below;
  }
  return null;
}

/** timm's name of the layer at a path of PEFT, which may begin with the name of a wrapper. */
function layerName(path: string, config: PeftConfig, file: string): string {
  if (path.length > MAX_PATH) {
    refuse(file, `it adapts "${path}", expected at most ${MAX_PATH} characters`);
  }
  const name = /^(?:.*\.)?(blocks\.\d+\.(?:attn\.(?:qkv|proj)|mlp\.(?:fc1|fc1_g|fc1_x|fc2)))$/
    .exec(path)?.[1];
  if (name === undefined) {
    refuse(
      file,
      `it adapts "${path}", expected only attn.qkv, attn.proj, mlp.fc1 (fc1_g, fc1_x) ` +
        `and mlp.fc2 of timm's "blocks.<number>"`,
    );
  }
  if (!isTarget(config, path)) {
    refuse(file, `it adapts "${path}", which is not among the target_modules of its configuration`);
  }
  return name;
}

/** Layers that can be adapted, in the order in which a block runs them. */
const LAYERS = ["attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc1_g", "mlp.fc1_x", "mlp.fc2"];

/** Modules are in the model's order, as `initialAdapter` has them: optimisers go by it. */
function placeOf(name: string): number {
  const [, block, layer] = /^blocks\.(\d+)\.(.+)$/.exec(name)!;
  return Number(block) * LAYERS.length + LAYERS.indexOf(layer!);
}

function readLogitScale({ metadata, path }: SafetensorsFile): number | null {
  const text = metadata[LOGIT_SCALE];
  if (text === undefined) return null;
  const value = text.trim() === "" ? NaN : Number(text);
  if (!Number.isFinite(value)) refuse(path, `its logit_scale is ${show(text)}, expected a number`);
  return value;
}

function readInput({ metadata, path }: SafetensorsFile): AdapterInput | null {
  const text = metadata[INPUT];
  if (text === undefined) return null;
  try {
    return INPUT_SCHEMA.parse(JSON.parse(text));
  } catch {
    const wanted =
      "JSON with imgSize, a multiple of 16, pool, avg or token, depth, and a SHA-256 " +
      "of weights or none";
    return refuse(path, `its input is ${show(text)}, expected ${wanted}`);
  }
}

function refuse(path: string, problem: string): never {
  throw new TypeError(`Cannot load ${path}: ${problem}`);
}
