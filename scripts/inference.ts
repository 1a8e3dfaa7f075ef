import type { PoolMode } from "../kernels/pool.ts";
import type { TuneLevel } from "../kernels/tune.ts";
import { loadEmbedder, type PictureEmbedder } from "../load_embedder.ts";
import { type Adapter, readAdapter } from "../model/adapter.ts";
import type { ViTConfig } from "../model/config.ts";
import type { Precision } from "../model/network.ts";
import { hostOf, readBackbone } from "./flags.ts";
import { keepLayouts, readLayouts } from "./layouts.ts";
import { say } from "./progress.ts";

/** What the flags say about the model. */
export interface InferenceFlags {
  /** Adapter folder; without one, embeddings are the backbone's pooled tokens. */
  adapter: string | null;
  model: string;
  weights: string | null;
  depth: number | null;
  img_size: number;
  global_pool: string;
  precision: string;
  gpu: string | null;
  tune: string;
}

/** Says where an adapter leaves the last blocks of a backbone as they are: most likely `--depth`. */
export function depthWarning({ modules }: Adapter, { name, depth }: ViTConfig): string | null {
  const blocks = 1 + Math.max(...modules.map(({ name }) => Number(name.split(".")[1])));
  if (modules.length === 0 || blocks === depth) return null;
  return `the adapter ends at block ${blocks} of ${depth} of ${name}: ` +
    `if it was trained with --depth ${blocks}, give that here too`;
}

/**
 * Opens a GPU and loads backbone and adapter. Declare it with `using`.
 *
 * @throws {Error} If a file is missing or damaged, or adapter and backbone do not fit.
 */
export async function loadForFlags(flags: InferenceFlags): Promise<PictureEmbedder> {
  const adapter = flags.adapter === null ? null : await readAdapter(flags.adapter);
  const weights = await readBackbone(flags);
  const warning = adapter && depthWarning(adapter, weights.config);
  if (warning) say("stderr", `warning: ${warning}`);
  const level = flags.tune as TuneLevel;
  const answers = await readLayouts(level);
  const loaded = await loadEmbedder({
    ...hostOf(flags),
    tuning: { level, answers },
    ...(adapter && { adapter }),
    weights,
    imgSize: flags.img_size,
    pool: flags.global_pool as PoolMode,
    ...(flags.precision !== "auto" && { precision: flags.precision as Precision }),
  });
  await keepLayouts(answers);
  return loaded;
}
