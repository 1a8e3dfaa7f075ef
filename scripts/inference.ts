import { loadEmbedder, type PictureEmbedder } from "../load_embedder.ts";
import { type Adapter, DEFAULT_INPUT, readAdapter } from "../model/adapter.ts";
import { knownModel, type ViTConfig } from "../model/config.ts";
import { type BackboneChoice, readBackbone } from "../model/hub.ts";
import { type Backbone, digestOf } from "../model/weights.ts";
import type { FlagValues } from "./cli.ts";
import { hostOf, MODEL_FLAGS } from "./flags.ts";
import { keepLayouts, readLayouts } from "./layouts.ts";
import { say } from "./progress.ts";

/** {@linkcode MODEL_FLAGS} for adapters that are trained: what is not said is as it was then. */
export const INFERENCE_FLAGS = {
  ...MODEL_FLAGS,
  model: {
    type: "string",
    help: "backbone; by default the adapter's; alone, it is taken as it is",
  },
  depth: {
    type: "integer",
    unit: "blocks",
    min: 1,
    help: "use only so many blocks of the backbone; by default as in the training",
  },
  img_size: {
    type: "integer",
    unit: "px",
    min: 16,
    help: `side of the input; by default as in the training, else ${DEFAULT_INPUT.imgSize}`,
  },
  global_pool: {
    type: "string",
    choices: ["avg", "token"],
    help: "mean of the patch tokens, or the class token; by default as in the training",
  },
} as const;

/** What the flags say about the backbone. */
export interface BackboneFlags extends Omit<BackboneChoice, "model"> {
  model: string | null;
}

/** What the flags say about the model. */
export interface InferenceFlags extends FlagValues<typeof INFERENCE_FLAGS> {
  /** Adapter folder; without one, embeddings are the backbone's pooled tokens. */
  adapter: string | null;
}

/** Whether flags name a model: an adapter that knows its backbone, or a backbone. */
export function hasModel(flags: Pick<InferenceFlags, "adapter" | "model">): boolean {
  return flags.adapter !== null || flags.model !== null;
}

/** Says if a backbone is most likely not the one that an adapter was trained on, or cut elsewhere. */
export function adapterWarning(adapter: Adapter, backbone: Backbone): string | null {
  return depthWarning(adapter, backbone.config) ?? weightsWarning(adapter, backbone);
}

/** Says where an adapter leaves the last blocks of a backbone as they are: most likely `--depth`. */
export function depthWarning(
  { modules, input }: Adapter,
  { name, depth }: ViTConfig,
): string | null {
  const blocks = input?.depth ??
    1 + Math.max(...modules.map(({ name }) => Number(name.split(".")[1])));
  if (modules.length === 0 || blocks === depth) return null;
  return `the adapter ends at block ${blocks} of ${depth} of ${name}: ` +
    `if it was trained with --depth ${blocks}, give that here too`;
}

/** Says if an adapter was trained on other values of the parameters. */
export function weightsWarning({ input }: Adapter, backbone: Backbone): string | null {
  if (input?.weights === undefined) return null;
  const found = digestOf(backbone);
  if (found === input.weights) return null;
  return `the adapter was trained on other weights of ${backbone.config.name} ` +
    `(digest ${input.weights.slice(0, 12)}, here ${found.slice(0, 12)}): results will differ, ` +
    "see --weights; `weights --check` tells that of all blocks of a file";
}

/**
 * The backbone that the flags name, or that an adapter was trained on.
 *
 * @throws {Error} If its file is missing or damaged, or it has fewer blocks than are wanted.
 */
export async function backboneFor(
  adapter: Adapter | null,
  { model, weights, depth }: BackboneFlags,
): Promise<Backbone> {
  const { baseModel = null, input = null } = adapter ?? {};
  const known = baseModel === null ? null : knownModel(baseModel);
  const backbone = await readBackbone({
    model: model ?? known?.name ?? MODEL_FLAGS.model.default,
    weights,
    depth: depth ?? input?.depth ?? null,
  });
  const warning = adapter && adapterWarning(adapter, backbone);
  if (warning) say("stderr", `warning: ${warning}`);
  return backbone;
}

/**
 * Opens a GPU and loads backbone and adapter. Declare it with `using`.
 *
 * @throws {Error} If a file is missing or damaged, or adapter and backbone do not fit.
 */
export async function loadForFlags(flags: InferenceFlags): Promise<PictureEmbedder> {
  const adapter = flags.adapter === null ? null : await readAdapter(flags.adapter);
  const weights = await backboneFor(adapter, flags);
  const level = flags.tune;
  const answers = await readLayouts(level);
  const loaded = await loadEmbedder({
    ...hostOf(flags),
    tuning: { level, answers },
    ...(adapter && { adapter }),
    weights,
    ...(flags.img_size !== null && { imgSize: flags.img_size }),
    ...(flags.global_pool !== null && { pool: flags.global_pool }),
    ...(flags.precision !== "auto" && { precision: flags.precision }),
  });
  await keepLayouts(answers);
  return loaded;
}
