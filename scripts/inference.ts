import type { PoolMode } from "../kernels/pool.ts";
import { loadEmbedder, type PictureEmbedder } from "../load_embedder.ts";
import type { TuneLevel } from "../kernels/tune.ts";
import type { Precision } from "../model/network.ts";
import { readBackbone } from "./flags.ts";
import { keepLayouts, readLayouts } from "./layouts.ts";

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
  tune: string;
}

/**
 * Opens a GPU and loads backbone and adapter. Declare it with `using`.
 *
 * @throws {Error} If a file is missing or damaged, or adapter and backbone do not fit.
 */
export async function loadForFlags(flags: InferenceFlags): Promise<PictureEmbedder> {
  const level = flags.tune as TuneLevel;
  const answers = await readLayouts(level);
  const loaded = await loadEmbedder({
    tuning: { level, answers },
    ...(flags.adapter !== null && { adapter: flags.adapter }),
    weights: await readBackbone(flags),
    imgSize: flags.img_size,
    pool: flags.global_pool as PoolMode,
    ...(flags.precision !== "auto" && { precision: flags.precision as Precision }),
  });
  await keepLayouts(answers);
  return loaded;
}
