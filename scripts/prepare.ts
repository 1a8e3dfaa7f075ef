import { type Gpu, GpuMemoryError, settleGpu } from "../kernels/gpu.ts";
import type { Adapter } from "../model/adapter.ts";
import { createEmbedder, type Embedder } from "../model/embedder.ts";
import { type MemoryOptions, trainingMemory } from "../model/memory.ts";
import { createTrainer, type Trainer } from "../model/trainer.ts";
import type { Backbone } from "../model/weights.ts";
import { choosePrecision } from "./flags.ts";
import type { TrainFlags } from "./train_flags.ts";

const EVAL_IMAGES = 32; // at a time: as fast as more, and little memory beside the training's

/**
 * Puts everything on the GPU.
 *
 * @param options.evaluates An embedder is wanted too.
 * @throws {GpuMemoryError} If it does not fit: how much is needed, and which flags need less.
 */
export async function prepareTraining(
  gpu: Gpu,
  { flags, backbone, adapter, evaluates }: {
    flags: TrainFlags;
    backbone: Backbone;
    adapter: Adapter;
    evaluates: boolean;
  },
): Promise<{ trainer: Trainer; embedder: Embedder | null }> {
  const pool = flags.global_pool;
  const options = {
    backbone,
    adapter,
    precision: choosePrecision(gpu, flags.precision),
    height: flags.img_size,
    width: flags.img_size,
    pool,
    batchSize: flags.batch_size,
    microBatch: flags.micro_batch,
    checkpointing: flags.grad_checkpointing,
    weightDecay: flags.weight_decay,
    clipValue: flags.clip_grad,
    clipNorm: flags.clip_grad_norm,
    seed: flags.seed,
  };
  const evalImages = evaluates ? EVAL_IMAGES : 0;
  try {
    const trainer = await createTrainer(gpu, options);
    const { network, trainables } = trainer;
    const embedder = evaluates
      ? await createEmbedder(gpu, {
        network,
        trainables,
        pool,
        images: evalImages,
      })
      : null;
    await settleGpu(gpu);
    return { trainer, embedder };
  } catch (error) {
    await settleGpu(gpu).catch(() => {}); // what follows from a lack of memory comes first
    const cause = gpu.failure ?? error;
    if (!(cause instanceof GpuMemoryError)) throw cause;
    throw new GpuMemoryError(
      `${cause.message}; ${memoryAdvice(gpu, { ...options, evalImages })}`,
      { cause },
    );
  }
}

/** What a run needs, and what it would need with flags that save memory. */
function memoryAdvice(gpu: Gpu, options: MemoryOptions): string {
  const { checkpointing, precision, batchSize, microBatch } = options;
  const need = (changes: Partial<MemoryOptions>) => {
    const { total } = trainingMemory(gpu, { ...options, ...changes });
    return total < 2 ** 30
      ? `${Math.ceil(total / 2 ** 20)} MiB`
      : `${(total / 2 ** 30).toFixed(1)} GiB`;
  };
  const smaller = Math.ceil(Math.min(microBatch ?? Infinity, 2 * batchSize) / 4);
  const savings: [flag: string, changes: Partial<MemoryOptions>][] = [];
  if (!checkpointing) savings.push(["--grad_checkpointing", { checkpointing: true }]);
  if (smaller > 1) savings.push([`--micro_batch ${smaller}`, { microBatch: smaller }]);
  if (precision === "f32" && gpu.hasF16) savings.push(["--precision f16", { precision: "f16" }]);
  const all = Object.assign({}, ...savings.map(([, changes]) => changes));
  return [
    `training needs ${need({})} of GPU memory`,
    ...savings.map(([flag, changes]) => `${need(changes)} with ${flag}`),
    ...(savings.length > 1 ? [`${need(all)} with all of these`] : []),
    "less with a smaller --batch_size or --img_size",
  ].join(", ");
}
