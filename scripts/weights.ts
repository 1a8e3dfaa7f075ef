/**
 * Finds, downloads and checks the weights of a backbone, or makes random ones.
 *
 *     deno task weights --model vit_small_patch16_dinov3.lvd1689m
 *     deno task weights --check model.safetensors
 *     deno task weights --random vit_small_patch16_dinov3 --seed 0 --output random.safetensors
 *
 * @module
 */
import { createHash } from "node:crypto";
import { modelConfig, parameterCount, type ViTConfig } from "../model/config.ts";
import { randomBackbone } from "../model/hash_rule.ts";
import { cachedBackbone, downloadBackbone, hubCache } from "../model/hub.ts";
import { writeSafetensors } from "../model/safetensors.ts";
import {
  backboneOfFile,
  backboneOfTensors,
  digestOf,
  readWeights,
  timmTensors,
} from "../model/weights.ts";
import { parseFlags, refuseUnused, runScript, UsageError } from "./cli.ts";
import { checkOutputs } from "./outputs.ts";
import { folderOf, keepOnly, keepReading } from "./permissions.ts";

/** What it is called and does. */
export const COMMAND = {
  name: "weights",
  summary: "find, download and check the weights of a backbone, or make random ones",
};

/** Flags of the command. */
export const FLAGS = {
  model: {
    type: "string",
    default: "vit_small_patch16_dinov3.lvd1689m",
    help: "backbone to find in Hugging Face's cache, else to download and check",
  },
  check: { type: "string", unit: "file", help: "check this file instead, as weights of --model" },
  random: { type: "string", unit: "model", help: "make weights of this backbone instead" },
  seed: { type: "integer", default: 0, min: 0, help: "of --random" },
  output: { type: "string", unit: "file", help: "where --random writes them" },
} as const;

/** What {@linkcode checkWeights} found. */
export interface WeightsSummary {
  /** Number of values that the backbone uses. */
  parameters: number;
  /** Stored types, `F32` for example. */
  dtypes: string[];
  /** q and v have a bias that is not 0. */
  qvBias: boolean;
  /** Of the whole file, hexadecimal. */
  sha256: string;
  /** Of the parameters, see `digestOf`: adapters know by it what they were trained on. */
  digest: string;
}

/**
 * Checks all names, shapes and values of a file.
 *
 * @throws {TypeError} If a tensor does not fit the backbone or a value is not finite.
 * @throws {SyntaxError} If the file is damaged.
 */
export async function checkWeights(path: string, config: ViTConfig): Promise<WeightsSummary> {
  const file = await readWeights(path);
  const backbone = backboneOfFile(file, config);
  const biases = backbone.qvBias ? 2 * config.embedDim * config.depth : 0;
  const hash = createHash("sha256");
  for await (const chunk of (await Deno.open(path)).readable) hash.update(chunk);
  return {
    parameters: parameterCount(config) + biases,
    dtypes: [...new Set([...file.tensors.values()].map(({ dtype }) => dtype))].sort(),
    qvBias: backbone.qvBias,
    sha256: hash.digest("hex"),
    digest: digestOf(backbone), // throws at a bad value
  };
}

/** Runs the command. */
export async function main(args: string[]): Promise<void> {
  const flags = parseFlags(COMMAND, FLAGS, args);
  const { random, check, output } = flags;
  if (random !== null && check !== null) {
    throw new UsageError("Cannot run weights: give either --check or --random");
  }
  if (random === null && output !== null) {
    throw new UsageError("Cannot run weights: --output belongs to --random");
  }
  const { model, seed } = FLAGS;
  if (random === null) refuseUnused("weights", flags, { seed }, "belongs to --random");
  else refuseUnused("weights", flags, { model }, "belongs to --check, or to a download");
  checkOutputs([output]);
  const isOffline = random !== null || check !== null;
  await keepOnly({ write: [isOffline ? folderOf(output) : hubCache()], net: !isOffline });
  keepReading([check]);
  if (flags.random !== null) {
    if (flags.output === null) throw new UsageError("Cannot run weights: --random needs --output");
    const config = modelConfig(flags.random);
    const backbone = backboneOfTensors(randomBackbone(config, flags.seed), config);
    await writeSafetensors(flags.output, timmTensors(backbone), { format: "pt" });
    console.error(
      `wrote ${config.name} with random weights, seed ${flags.seed} -> ${flags.output}`,
    );
    return;
  }
  const config = modelConfig(flags.model);
  const path = flags.check ?? await cachedBackbone(config) ?? await download(config);
  const { parameters, dtypes, qvBias, sha256, digest } = await checkWeights(path, config);
  console.log(`file        ${path}`);
  console.log(`model       ${config.name}, all names and shapes match, all values are finite`);
  console.log(`parameters  ${parameters.toLocaleString("en")} as ${dtypes.join(", ")}`);
  console.log(`q, v bias   ${qvBias ? "yes" : "none"}`);
  console.log(`sha256      ${sha256}`);
  console.log(`digest      ${digest}, of the parameters of all blocks, as in adapters`);
}

async function download(config: ViTConfig): Promise<string> {
  console.error(`downloading ${config.name} ...`);
  return await downloadBackbone(config, {
    cache: hubCache(),
    token: Deno.env.get("HF_TOKEN"),
  });
}

if (import.meta.main) await runScript(main);
