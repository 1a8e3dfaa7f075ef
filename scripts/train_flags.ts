/**
 * Flags of `train`, and which of them a resumed run may change.
 *
 * @module
 */
import {
  AUGMENT_DEFAULTS,
  type AugmentSettings,
  LOW_FLIGHT_METERS,
  parseAugmentSettings,
} from "../data/augment_settings.ts";
import type { Entry, Pair } from "../data/pairs.ts";
import { readText } from "../data/read.ts";
import { LORA_TARGETS } from "../model/init.ts";
import { type FlagSpec, type FlagValues, refuseUnused, UsageError } from "./cli.ts";
import { checkImgSize, DATA_FLAGS, MODEL_FLAGS } from "./flags.ts";

/** Every flag of `train`. */
export const TRAIN_FLAGS = {
  train_pairs_meta_file: {
    type: "string",
    unit: "file",
    required: true,
    help: "pairs JSON to train on, as the path is given or in --data_root",
  },
  ...DATA_FLAGS,
  ...MODEL_FLAGS,
  init_adapter: {
    type: "string",
    unit: "folder",
    help: "start from this adapter, of a run or of PEFT; flags of model, adapter and head " +
      "are then its own by default",
  },
  lora_r: { type: "integer", default: 128, min: 1, max: 4096, help: "rank of the adapters" },
  lora_alpha: { type: "number", default: 256, help: "adapters count alpha / r" },
  lora_dropout: {
    type: "number",
    default: 0.1,
    min: 0,
    max: 0.9,
    help: "dropout of adapters and head",
  },
  lora_targets: { type: "string", default: LORA_TARGETS.join(","), help: "layers with an adapter" },
  mlp_hidden: { type: "integer", default: 2048, min: 4, help: "width of the head's hidden layer" },
  embed_dim: { type: "integer", default: 256, min: 4, help: "length of an embedding" },
  batch_size: { type: "integer", unit: "pairs", default: 128, min: 2, help: "pairs a step" },
  micro_batch: {
    type: "integer",
    unit: "images",
    min: 1,
    help: "images embedded at a time; by default all that can be bound",
  },
  grad_checkpointing: {
    type: "boolean",
    help: "keep only the inputs of blocks: less memory, a fifth to a third more time",
  },
  lr: { type: "number", default: 3e-4, min: 0, help: "highest learning rate" },
  weight_decay: { type: "number", default: 0.01, min: 0, help: "AdamW's decay" },
  epochs: { type: "integer", default: 10, min: 1, help: "epochs" },
  max_steps: { type: "integer", min: 1, help: "stop after so many steps; the schedule ends there" },
  warmup_epochs: { type: "number", unit: "epochs", default: 0.5, min: 0, help: "linear warm-up" },
  scheduler: {
    type: "string",
    default: "cosine",
    choices: ["cosine", "constant"],
    help: "learning rate after the warm-up",
  },
  clip_grad: {
    type: "number",
    default: 100,
    min: 0,
    help: "largest gradient of an element, 0: off",
  },
  clip_grad_norm: {
    type: "number",
    default: 0,
    min: 0,
    help: "largest norm of all gradients, 0: off",
  },
  with_weight: { type: "boolean", help: "smooth each pair by sigmoid(-k * weight)" },
  k: { type: "number", default: 5, help: "slope of --with_weight" },
  label_smoothing: {
    type: "number",
    default: 0,
    min: 0,
    max: 1,
    help: "smoothing without --with_weight",
  },
  train_mode: {
    type: "string",
    default: "pos_semipos",
    choices: ["pos", "pos_semipos"],
    help: "references that make pairs",
  },
  sampling: {
    type: "string",
    default: "exclusive",
    choices: ["exclusive", "random"],
    help: "exclusive: no batch holds a hidden positive",
  },
  no_augment: { type: "boolean", help: "only resize pictures" },
  augment: {
    type: "string",
    unit: "file",
    help: "JSON with augmentation settings that differ from the defaults",
  },
  rotate: { type: "boolean", help: "turn each picture by a random multiple of 90 degrees" },
  altitude_crop: {
    type: "string",
    choices: ["auto"],
    bare: "auto",
    help: "crop queries to a flight at 70 to 150 m",
  },
  preview: {
    type: "integer",
    unit: "pairs",
    min: 1,
    max: 100,
    help: "write preview.png: the first pairs as the model sees them",
  },
  seed: { type: "integer", default: 42, min: 0, max: 2 ** 32 - 1, help: "of everything random" },
  no_zero_shot: { type: "boolean", help: "do not evaluate before training" },
  model_path: {
    type: "string",
    unit: "folder",
    default: "work_dir/lora",
    help: "where runs are written",
  },
  save_every: {
    type: "integer",
    unit: "steps",
    min: 1,
    help: "steps between checkpoints; by default each epoch and every 10 minutes",
  },
  resume: {
    type: "string",
    unit: "folder",
    bare: "newest",
    help: "go on with this run, or the newest below --model_path",
  },
} as const satisfies Record<string, FlagSpec>;

/** Values of {@linkcode TRAIN_FLAGS}. */
export type TrainFlags = FlagValues<typeof TRAIN_FLAGS>;

/** What is done when it is asked for, and not again when the run is resumed. */
const ONCE: readonly string[] = ["resume", "preview"];

/**
 * Flags that change where a run reads and writes, not its losses; `inputs.ts` holds what is read.
 * `micro_batch` adds in another order: it changes the last bits, but decides on what GPU one can go on.
 */
const FREE: readonly (keyof TrainFlags)[] = [
  "train_pairs_meta_file",
  "test_pairs_meta_file",
  "data_root",
  "augment",
  "num_workers",
  "save_every",
  "resume",
  "model_path",
  "weights",
  "micro_batch",
  "preview",
  "gpu",
  "tune",
];

/**
 * Flags whose defaults are those of an earlier run, for `--resume`, or of the adapter that a new run
 * starts from.
 *
 * @param stored The earlier values; what is null or left out keeps its usual default.
 */
export function withStored(stored: Record<string, unknown>): typeof TRAIN_FLAGS {
  return Object.fromEntries(
    Object.entries(TRAIN_FLAGS).map(([name, spec]) => {
      const value = stored[name];
      if (ONCE.includes(name) || value === null || value === undefined) return [name, spec];
      return [name, { ...spec, required: false, default: value }];
    }),
  ) as typeof TRAIN_FLAGS;
}

/**
 * Checks that a resumed run goes on as it began.
 *
 * @throws {UsageError} If a flag that changes the losses differs.
 */
export function checkSame(flags: TrainFlags, stored: Record<string, unknown>): void {
  for (const [name, spec] of Object.entries<FlagSpec>(TRAIN_FLAGS)) {
    // A run of a version without the flag did what is the default today.
    const usual = "default" in spec ? spec.default : spec.type === "boolean" ? false : null;
    const before = name in stored ? stored[name] : usual;
    const now = flags[name as keyof TrainFlags];
    if (FREE.includes(name as keyof TrainFlags) || now === before) continue;
    throw new UsageError(
      `Cannot resume with --${name} ${now ?? "left out"}: the run was started ` +
        (before === null ? "without it" : `with ${before}`) +
        "; a new run may begin with its adapter: --init_adapter",
    );
  }
}

/**
 * Checks what no single flag can tell.
 *
 * @throws {UsageError} If flags contradict each other.
 */
export function checkTrainFlags(flags: TrainFlags): void {
  checkImgSize(flags.img_size, "train");
  for (const name of ["mlp_hidden", "embed_dim"] as const) {
    if (flags[name] % 4 !== 0) {
      throw new UsageError(
        `Cannot run train: --${name} must be a multiple of 4: got ${flags[name]}`,
      );
    }
  }
  if (
    flags.no_augment && (flags.augment !== null || flags.rotate || flags.altitude_crop !== null)
  ) {
    throw new UsageError("Cannot run train: --no_augment excludes all other augmentation flags");
  }
}

/**
 * Checks that no flag of a new run does nothing. One that began before it was checked may go on.
 *
 * @throws {UsageError} If another flag keeps one from having an effect.
 */
export function checkNewRun(flags: TrainFlags): void {
  const { with_weight, k, label_smoothing, warmup_epochs, epochs, lora_alpha } = flags;
  const refuse = (problem: string, found: number) => {
    throw new UsageError(`Cannot run train: ${problem}: got ${found}`);
  };
  if (with_weight && label_smoothing !== TRAIN_FLAGS.label_smoothing.default) {
    refuse("--with_weight excludes --label_smoothing", label_smoothing);
  }
  if (!with_weight && k !== TRAIN_FLAGS.k.default) {
    refuse("--k is the slope of --with_weight, which is not given", k);
  }
  if (flags.test_pairs_meta_file === null) {
    const { eval_mode, gallery, same_map } = DATA_FLAGS;
    const specs = { eval_mode, gallery, same_map };
    refuseUnused("train", flags, specs, "belongs to --test_pairs_meta_file, which is not given");
  }
  if (warmup_epochs > epochs) {
    refuse(
      `--warmup_epochs must be at most --epochs, ${epochs}, or --lr is never reached`,
      warmup_epochs,
    );
  }
  if (lora_alpha === 0) {
    refuse("--lora_alpha must not be 0, as adapters then never act", lora_alpha);
  }
}

/**
 * Random transforms of the run, null for none.
 *
 * @throws {Error} If the settings file cannot be read or is wrong.
 */
export async function augmentSettings(flags: TrainFlags): Promise<AugmentSettings | null> {
  if (flags.no_augment) return null;
  const settings = flags.augment === null
    ? AUGMENT_DEFAULTS
    : parseAugmentSettings(await readText(flags.augment), flags.augment);
  return {
    ...settings,
    ...(flags.rotate && { rotate: { p: 1 } }),
    ...(flags.altitude_crop && { altitude_crop: [...LOW_FLIGHT_METERS] as [number, number] }),
  };
}

/** Layers that get an adapter. */
export function targetsOf({ lora_targets }: TrainFlags): string[] {
  return lora_targets.split(",").map((target) => target.trim());
}

/** What a run was asked for and its pairs file says nothing about, a line each. */
export function dataWarnings(
  flags: TrainFlags,
  { entries, pairs, augment }: {
    entries: readonly Entry[];
    pairs: readonly Pair[];
    augment: AugmentSettings | null;
  },
): string[] {
  const lines: string[] = [];
  const blind = entries.filter(({ altitudeMeters }) => altitudeMeters === null).length;
  if (blind > 0 && augment && augment.altitude_crop !== null) {
    lines.push(
      `altitude_crop passes over ${blind} of ${entries.length} entries, which have no ` +
        "altitude_meters: `merge` writes that of a data set, see its --help",
    );
  }
  if (flags.with_weight && pairs.every(({ weight }) => weight === 1)) {
    const smoothing = smoothingOf(Float32Array.of(1), flags)[0]!.toFixed(4);
    lines.push(
      `--with_weight smooths all pairs by ${smoothing}, as each has weight 1, that of entries ` +
        "without pair_pos_sate_weight_list",
    );
  }
  const largest = pairs.reduce((most, { weight }) => Math.max(most, weight), 0);
  if (flags.with_weight && largest > 1) {
    lines.push(`weights are up to ${largest}, where the share of ground that is seen is at most 1`);
  }
  return lines;
}

/** Label smoothing of pairs with these weights. */
export function smoothingOf(weights: Float32Array, flags: TrainFlags): Float32Array {
  return flags.with_weight
    ? weights.map((weight) => 1 / (1 + Math.exp(flags.k * weight)))
    : new Float32Array(weights.length).fill(flags.label_smoothing);
}
