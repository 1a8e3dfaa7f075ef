/**
 * Where the parameters of a new run come from: random numbers, or an adapter that was trained before.
 *
 * @module
 */
import type { Adapter } from "../model/adapter.ts";
import { knownModel, type ViTConfig } from "../model/config.ts";
import { initialAdapter } from "../model/init.ts";
import { UsageError } from "./cli.ts";
import { targetsOf, type TrainFlags } from "./train_flags.ts";

/** Flags that only an adapter of their own shape can meet. */
const SHAPE = ["lora_r", "lora_alpha", "lora_targets", "mlp_hidden", "embed_dim"] as const;

/** Flags as they were for an adapter, as far as it tells: defaults of a run that starts from it. */
export function flagsOfAdapter(
  { modules, head, dropout, baseModel, input }: Adapter,
): Partial<TrainFlags> {
  const [{ rank, alpha }] = modules as [Adapter["modules"][number]];
  const model = baseModel === null ? null : knownModel(baseModel);
  const targets = new Set(modules.map(({ name }) => name.replace(/^blocks\.\d+\./, "")));
  return {
    lora_r: rank,
    lora_alpha: alpha,
    lora_dropout: dropout,
    lora_targets: [...targets].join(","),
    ...(head && { mlp_hidden: head.hidden, embed_dim: head.embedDim }),
    ...(model && { model: model.name }),
    ...(input && { img_size: input.imgSize, global_pool: input.pool, depth: input.depth }),
  };
}

/**
 * Checks that no flag asks for another adapter than the one that a run starts from.
 *
 * @throws {UsageError} If one does.
 */
export function checkShape(flags: TrainFlags, adapter: Adapter): void {
  const found = flagsOfAdapter(adapter);
  for (const name of SHAPE) {
    const value = found[name];
    if (value === undefined || value === flags[name]) continue;
    throw new UsageError(
      `Cannot start from ${flags.init_adapter} with --${name} ${flags[name]}: it has ${value}`,
    );
  }
}

/**
 * What a new run trains: an adapter of random numbers, or `init`, with new parameters for what it
 * lacks.
 *
 * @throws {RangeError} If a target is not a layer of the backbone.
 */
export function startOf(flags: TrainFlags, config: ViTConfig, init: Adapter | null): Adapter {
  const fresh = initialAdapter(config, {
    rank: flags.lora_r,
    alpha: flags.lora_alpha,
    dropout: flags.lora_dropout,
    targets: targetsOf(flags),
    head: { hidden: flags.mlp_hidden, embedDim: flags.embed_dim },
    seed: flags.seed,
  });
  if (init === null) return fresh;
  return {
    ...fresh,
    modules: init.modules,
    head: init.head ?? fresh.head,
    logitScale: init.logitScale ?? fresh.logitScale,
    rslora: init.rslora,
  };
}
