/**
 * Flags that several commands share.
 *
 * @module
 */
import { existsSync, realpathSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { type Entry, parseEntries, readPairsText } from "../data/pairs.ts";
import type { Gpu, Host } from "../kernels/gpu.ts";
import { DEFAULT_INPUT } from "../model/adapter.ts";
import { bestPrecision, type Precision } from "../model/network.ts";
import { UsageError } from "./cli.ts";
import { TUNE_FLAGS } from "./layouts.ts";

/** Flags of commands that open a GPU. */
export const GPU_FLAGS = {
  gpu: {
    type: "string",
    choices: ["deno", "dawn"],
    help: "whose WebGPU, by default Deno's; dawn is fetched from npm, and knows matrix units",
  },
} as const;

/** Host that the flag names. */
export function hostOf({ gpu }: { gpu: Host | null }): { host?: Host } {
  return gpu === null ? {} : { host: gpu };
}

/** Which backbone, and how images enter it. */
export const MODEL_FLAGS = {
  model: {
    type: "string",
    default: "vit_small_patch16_dinov3.lvd1689m",
    help: "backbone",
  },
  weights: {
    type: "string",
    unit: "file",
    help: "its .safetensors file, of timm or Hugging Face; by default the one in the hub's cache",
  },
  depth: {
    type: "integer",
    unit: "blocks",
    min: 1,
    help: "use only so many blocks of the backbone, from the first on: quick trials",
  },
  img_size: {
    type: "integer",
    unit: "px",
    default: DEFAULT_INPUT.imgSize,
    min: 16,
    help: "side of the input",
  },
  global_pool: {
    type: "string",
    default: DEFAULT_INPUT.pool,
    choices: ["avg", "token"],
    help: "mean of the patch tokens, or the class token",
  },
  precision: {
    type: "string",
    default: "auto",
    choices: ["auto", "f32", "f16"],
    help: "storage of weights and activations; auto is f16 where a GPU has it",
  },
  ...GPU_FLAGS,
  num_workers: { type: "integer", default: 8, min: 0, max: 256, help: "decoding threads" },
  ...TUNE_FLAGS,
} as const;

/** Where pictures are, and which count as right. */
export const DATA_FLAGS = {
  test_pairs_meta_file: {
    type: "string",
    unit: "file",
    help: "pairs JSON to evaluate on, as the path is given or in --data_root",
  },
  data_root: { type: "string", unit: "folder", help: "root of entries without a data_root" },
  eval_mode: {
    type: "string",
    default: "pos_semipos",
    choices: ["pos", "pos_semipos"],
    help: "references that count as right",
  },
  gallery: {
    type: "string",
    default: "listed",
    choices: ["listed", "folder"],
    help: "references of the pairs file, or every picture of their folders",
  },
  same_map: { type: "boolean", help: "compare a query only with references of its own map" },
  allow_outside_root: { type: "boolean", help: "accept pictures outside their data root" },
} as const;

/**
 * Checks a side of the input; null is the default.
 *
 * @throws {UsageError} If it is not made of whole patches.
 */
export function checkImgSize(imgSize: number | null, command: string): void {
  if (imgSize !== null && imgSize % 16 !== 0) {
    const [below, above] = [Math.floor(imgSize / 16) * 16, Math.ceil(imgSize / 16) * 16];
    throw new UsageError(
      `Cannot run ${command}: --img_size must be a multiple of 16, as ${below} or ${above}: ` +
        `got ${imgSize}`,
    );
  }
}

/**
 * Reads a pairs file: the path as it is given, or in the data root where there is none.
 *
 * @throws {UsageError} If both are there and are two files.
 * @throws {Error} If it cannot be read or holds something else.
 */
export async function readEntries(
  file: string,
  { dataRoot, allowOutsideRoot }: { dataRoot: string | null; allowOutsideRoot: boolean },
): Promise<Entry[]> {
  const path = pairsPath(file, dataRoot);
  return parseEntries(await readPairsText(path), {
    path,
    allowOutsideRoot,
    ...(dataRoot !== null && { dataRoot }),
  });
}

function pairsPath(file: string, dataRoot: string | null): string {
  if (dataRoot === null || isAbsolute(file)) return file;
  const inRoot = join(dataRoot, file);
  const [isHere, isInRoot] = [file, inRoot].map((path) => existsSync(path));
  if (!isHere && !isInRoot) {
    throw new Deno.errors.NotFound(
      `Cannot read ${file}: no such file, and none in the data root ${dataRoot}`,
    );
  }
  if (!isHere) return inRoot;
  if (!isInRoot) return file;
  if (realpathSync(file) === realpathSync(inRoot)) return file;
  throw new UsageError(
    `Cannot choose between ${file} and ${inRoot}: both are there, ` +
      "give the absolute path of the one that is meant",
  );
}

/** The precision that the flag names; `auto` is {@linkcode bestPrecision}. */
export function choosePrecision(gpu: Gpu, precision: string): Precision {
  return precision === "f32" || precision === "f16" ? precision : bestPrecision(gpu);
}
