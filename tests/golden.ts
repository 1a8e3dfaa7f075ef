/**
 * Golden files: numbers a PyTorch program made from weights and images that follow the hash rule of
 * `model/hash_rule.ts`, so that only results are stored. Two kinds: `vits16_*` (backbone outputs,
 * LoRA gradients, a few steps) and `recipe_*` (the whole training step, a dozen steps).
 *
 * @module
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { PoolMode } from "../kernels/pool.ts";
import type { Adapter, LoraModule } from "../model/adapter.ts";
import { modelConfig, parameterShapes, type ViTConfig } from "../model/config.ts";
import { hashed, offsetScale, randomBackbone } from "../model/hash_rule.ts";
import { readSafetensors, type SafetensorsFile, toFloat32 } from "../model/safetensors.ts";
import { type Backbone, backboneOfTensors } from "../model/weights.ts";

/** Folder of golden files: `GOLDEN_DIR`, or the small ones of the project. */
export const GOLDEN_DIR: string = Deno.env.get("GOLDEN_DIR") ??
  fileURLToPath(new URL("golden", import.meta.url));

/** Arguments of the program that made a file, as its `.json` holds them. */
export interface GoldenArgs {
  model?: string;
  depth: number;
  seed: number;
  global_pool: PoolMode;
  lora_r: number;
  lora_alpha: number;
  lora_targets?: string;
  rslora?: boolean;
  lr: number;
  steps: number;
  // vits16_*
  img_size?: number;
  img_width?: number;
  batch?: number;
  logit_scale?: number;
  smoothing?: number;
  dtype?: string;
  // recipe_*
  height?: number;
  width?: number;
  pairs?: number;
  hidden?: number;
  embed?: number;
  warmup?: number;
  k?: number;
  wd?: number;
  clip?: number;
}

/** One line of a golden file's training log. */
export interface GoldenStep {
  step: number;
  lr: number;
  loss: number;
  logit_scale?: number;
}

/** A golden file and what it was made with. */
export interface Golden {
  name: string;
  args: GoldenArgs;
  log: GoldenStep[];
  config: ViTConfig;
  height: number;
  width: number;
  has(name: string): boolean;
  get(name: string): Float32Array<ArrayBuffer>;
  /** A tensor by the hash rule, with the rule's own offset and scale unless given. */
  hashed(
    name: string,
    shape: readonly number[],
    rule?: { offset: number; scale: number },
  ): Float32Array<ArrayBuffer>;
  backbone(): Backbone;
  adapter(): Adapter;
}

/** Names of the golden files whose name starts with `prefix`, without ending. */
export function goldenNames(prefix: string): string[] {
  if (!existsSync(GOLDEN_DIR)) throw new Error(`Cannot read golden files: no folder ${GOLDEN_DIR}`);
  return [...Deno.readDirSync(GOLDEN_DIR)]
    .map(({ name }) => name)
    .filter((name) => name.startsWith(prefix) && name.endsWith(".safetensors"))
    .map((name) => name.slice(0, -".safetensors".length))
    .sort();
}

/** Opens one golden file. */
export async function openGolden(name: string): Promise<Golden> {
  const json = JSON.parse(await Deno.readTextFile(join(GOLDEN_DIR, `${name}.json`)));
  const args = json.args as GoldenArgs;
  const file: SafetensorsFile = await readSafetensors(join(GOLDEN_DIR, `${name}.safetensors`));
  const config = modelConfig(args.model ?? "vit_small_patch16_dinov3", { depth: args.depth });
  const height = args.height ?? args.img_size!;
  const make: Golden["hashed"] = (name, shape, rule = offsetScale(name, shape)) =>
    hashed(name, shape, args.seed, rule);
  return {
    name,
    args,
    log: json.log ?? json.train_log,
    config,
    height,
    width: args.width ?? (args.img_width || height),
    has: (name) => file.tensors.has(name),
    get: (name) => toFloat32(file, name),
    hashed: make,
    backbone: () => backboneOfTensors(randomBackbone(config, args.seed), config),
    adapter: () => ({
      modules: loraModules(config, args, make),
      head: args.hidden === undefined ? null : {
        hidden: args.hidden,
        embedDim: args.embed!,
        weight1: make("head.0.weight", [args.hidden, config.embedDim]),
        bias1: make("head.0.bias", [args.hidden]),
        weight2: make("head.3.weight", [args.embed!, args.hidden]),
        bias2: make("head.3.bias", [args.embed!]),
      },
      logitScale: Math.log(args.logit_scale ?? 1 / 0.07),
      dropout: 0,
      rslora: args.rslora ?? false,
      baseModel: config.name,
      input: null,
    }),
  };
}

/** Name under which golden files and PEFT keep a trained tensor of {@linkcode Trainables}. */
export function peftName(name: string): string {
  return name.includes(".lora_") ? `base_model.model.${name}.weight` : name;
}

/** Patch rows `(images × patches, 768)` of images `(images, 3, height, width)`. */
export function patchRows(
  images: Float32Array,
  { height, width }: { height: number; width: number },
): Float32Array<ArrayBuffer> {
  const [rows, columns] = [height / 16, width / 16];
  const out = new Float32Array(images.length);
  for (let i = 0; i < images.length; i++) {
    const x = i % width;
    const y = Math.floor(i / width) % height;
    const channel = Math.floor(i / (width * height)) % 3;
    const image = Math.floor(i / (3 * width * height));
    const patch = (image * rows + (y >> 4)) * columns + (x >> 4);
    out[patch * 768 + channel * 256 + (y & 15) * 16 + (x & 15)] = images[i]!;
  }
  return out;
}

function loraModules(config: ViTConfig, args: GoldenArgs, make: Golden["hashed"]): LoraModule[] {
  const targets = (args.lora_targets ?? "attn.qkv,attn.proj,mlp.fc1,mlp.fc2").split(",");
  const modules: LoraModule[] = [];
  for (const [key, shape] of parameterShapes(config)) {
    const name = key.replace(/\.weight$/, "");
    const isLinear = key.endsWith(".weight") && name.startsWith("blocks.") && shape.length === 2;
    if (!isLinear || !targets.some((target) => name.endsWith(`.${target}`))) continue;
    const [out, width] = shape as [number, number];
    const rank = args.lora_r;
    modules.push({
      name,
      rank,
      alpha: args.lora_alpha,
      loraA: make(peftName(`${name}.lora_A`), [rank, width]),
      loraB: make(peftName(`${name}.lora_B`), [out, rank]),
    });
  }
  return modules;
}
