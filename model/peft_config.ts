/**
 * `adapter_config.json` of PEFT: what is written, what is read, and what is refused because it would
 * change the numbers.
 *
 * @see https://github.com/huggingface/peft src/peft/tuners/lora/config.py
 *
 * @module
 */
import { z } from "zod";
import { parseJson, problemOf, show } from "../data/json.ts";

/** The fields that decide what is computed, with PEFT's own names. */
export interface PeftConfig {
  /** Rank, unless a `rank_pattern` matches. */
  r: number;
  /** Numerator of the scaling, unless an `alpha_pattern` matches. */
  lora_alpha: number;
  /** Probability that training drops an input of A. */
  lora_dropout: number;
  /** Divide by the root of the rank. */
  use_rslora: boolean;
  /** Ends of module paths, or an expression for a whole path. */
  target_modules: string | string[];
  /** Modules stored whole: `["head"]`, or nothing. */
  modules_to_save: string[] | null;
  /** Rank by expression. */
  rank_pattern: Record<string, number>;
  /** Alpha by expression. */
  alpha_pattern: Record<string, number>;
  /** Whatever the writer called the model. */
  base_model_name_or_path: string | null;
}

const SCHEMA = z.looseObject({
  peft_type: z.literal("LORA"),
  r: z.int().positive(),
  lora_alpha: z.number(),
  lora_dropout: z.number().min(0).lt(1).default(0),
  use_rslora: z.boolean().default(false),
  target_modules: z.union([z.string(), z.array(z.string())], "expected string or array of strings"),
  modules_to_save: z.array(z.string()).nullable().default(null),
  rank_pattern: z.record(z.string(), z.int().positive()).default({}),
  alpha_pattern: z.record(z.string(), z.number()).default({}),
  base_model_name_or_path: z.string().nullable().default(null),
});

/** Other options that leave y = W x + s B A x alone, whatever their value. */
const HARMLESS: ReadonlySet<string> = new Set([
  "task_type",
  "inference_mode",
  "auto_mapping",
  "peft_version",
  "revision",
  "runtime_config",
  "exclude_modules", // what was left out is not in the tensors
  "layers_to_transform",
  "layers_pattern",
  "eva_config", // how lora_A began
  "megatron_core", // these two have a value even where the option they belong to is off
  "qalora_group_size",
]);

/** Values that leave it alone though they are not empty. */
const NEUTRAL: ReadonlyMap<string, readonly unknown[]> = new Map([
  ["bias", ["none"]],
  ["init_lora_weights", [true, "gaussian", "orthogonal", "eva"]], // others change W itself
]);

/**
 * Parses and checks a configuration.
 *
 * @param text JSON.
 * @throws {SyntaxError} If it is not JSON, or a pattern is no expression or could take forever.
 * @throws {TypeError} If a field is missing or malformed, or an option is not supported. Errors name
 *   the field only; the caller adds the file.
 */
export function parsePeftConfig(text: string): PeftConfig {
  const json = parseJson(text);
  const { data: config, error } = SCHEMA.safeParse(json);
  if (error) throw new TypeError(problemOf(error, json));
  for (const [option, value] of Object.entries(config)) {
    if (Object.hasOwn(SCHEMA.shape, option) || HARMLESS.has(option)) continue;
    if (isEmpty(value) || NEUTRAL.get(option)?.includes(value)) continue;
    throw new TypeError(`option ${show(option)} is ${show(value)}, which is not supported`);
  }
  const other = config.modules_to_save?.find((module) => module !== "head");
  if (other !== undefined) {
    throw new TypeError(`"modules_to_save" has ${show(other)}, only "head" is supported`);
  }
  // Python's expressions are nearly JavaScript's; one that is not is refused here.
  const targets = typeof config.target_modules === "string" ? [config.target_modules] : [];
  const patterns = [...Object.keys(config.rank_pattern), ...Object.keys(config.alpha_pattern)];
  for (const pattern of [...targets, ...patterns]) checkPattern(pattern);
  return config;
}

/** Longest path of a module that is matched; see {@linkcode checkPattern}. */
export const MAX_PATH = 80;

/**
 * Refuses expressions that take forever: JavaScript's engine tries every way in which quantifiers can
 * share a text. With four, none of them on a group, and one of ours, a path of 80 characters has at
 * most 80⁵ / 5! of them, a fraction of a second.
 */
function checkPattern(pattern: string): void {
  try {
    new RegExp(pattern);
  } catch (cause) {
    const [, reason = ""] = /: ([^:]*)$/.exec((cause as Error).message) ?? [];
    throw new SyntaxError(`${show(pattern)} is no regular expression: ${reason}`, { cause });
  }
  const bare = pattern.replaceAll(/\\.|\[(?:\\.|[^\]\\])*\]/gsu, "x").replaceAll("(?", "(");
  const quantifiers = bare.match(/[*+?]|\{\d/g)?.length ?? 0;
  if (/\)(?:[*+]|\{\d)/.test(bare) || quantifiers > 4 || pattern.length > 1000) {
    throw new SyntaxError(
      `${show(pattern)} could take forever: expected at most 4 of * + ? {}, no group repeated, ` +
        "1000 characters",
    );
  }
}

/** Rank and alpha of the module at `path`, which may begin with the name of a wrapper. */
export function rankAndAlpha(config: PeftConfig, path: string): { rank: number; alpha: number } {
  return {
    rank: matchPattern(config.rank_pattern, path) ?? config.r,
    alpha: matchPattern(config.alpha_pattern, path) ?? config.lora_alpha,
  };
}

/** Whether PEFT would adapt the module at `path`. */
export function isTarget({ target_modules: targets }: PeftConfig, path: string): boolean {
  if (typeof targets === "string") return new RegExp(`^(?:${targets})$`).test(path);
  return targets.some((target) => path === target || path.endsWith(`.${target}`));
}

/** The JSON that PEFT reads, complete: it fills gaps with defaults in silence. */
export function peftConfigText(config: PeftConfig): string {
  const complete = {
    ...config,
    auto_mapping: { base_model_class: "Eva", parent_library: "timm.models.eva" },
    bias: "none",
    fan_in_fan_out: false,
    inference_mode: true,
    init_lora_weights: true,
    layers_pattern: null,
    layers_to_transform: null,
    peft_type: "LORA",
    task_type: null,
    use_dora: false,
  };
  return JSON.stringify(complete, null, 2) + "\n";
}

/** The value of the first pattern that matches, as PEFT's `get_pattern_key` has it. */
function matchPattern(patterns: Record<string, number>, path: string): number | undefined {
  return Object.entries(patterns)
    .find(([pattern]) => new RegExp(`^(?:.*\\.)?(?:${pattern})$`).test(path))?.[1];
}

function isEmpty(value: unknown): boolean {
  return value === null || value === false || value === "" ||
    (typeof value === "object" && Object.keys(value).length === 0);
}
