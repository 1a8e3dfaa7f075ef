import { closeGpu, type Gpu, openGpu } from "../kernels/gpu.ts";
import type { PoolMode } from "../kernels/pool.ts";
import { checkAdapter, readAdapter } from "../model/adapter.ts";
import { modelConfig } from "../model/config.ts";
import { createEmbedder, type Embedder } from "../model/embedder.ts";
import { backbonePath } from "../model/hub.ts";
import { uploadNetwork } from "../model/network.ts";
import { Trainables } from "../model/trainables.ts";
import { loadBackbone } from "../model/weights.ts";
import { choosePrecision } from "./flags.ts";

/** What the flags say about the model. */
export interface InferenceFlags {
  /** Adapter folder. */
  adapter: string;
  model: string;
  weights: string | null;
  img_size: number;
  global_pool: string;
  precision: string;
}

const IMAGES = 32; // at a time

/**
 * Opens a GPU, loads backbone and adapter, and closes everything when `use` is done.
 *
 * @throws {Error} If a file is missing or damaged, or adapter and backbone do not fit.
 */
export async function withEmbedder<T>(
  flags: InferenceFlags,
  use: (embedder: Embedder, gpu: Gpu) => Promise<T>,
): Promise<T> {
  const adapter = await readAdapter(flags.adapter);
  const config = modelConfig(flags.model);
  checkAdapter(adapter, config);
  const backbone = await loadBackbone(await backbonePath(config, flags.weights), config);
  const gpu = await openGpu();
  try {
    const trainables = new Trainables(gpu, adapter, { training: false });
    const network = uploadNetwork(gpu, backbone, { adapter, trainables }, {
      precision: choosePrecision(gpu, flags.precision),
      height: flags.img_size,
      width: flags.img_size,
      merge: true,
    });
    const pool = flags.global_pool as PoolMode;
    const { head } = adapter;
    return await use(
      await createEmbedder(gpu, { network, trainables, head, pool, images: IMAGES }),
      gpu,
    );
  } finally {
    closeGpu(gpu);
  }
}
