/**
 * Which transforms a training sample goes through, and how likely: the defaults and one JSON.
 *
 * @module
 */
import { z } from "zod";
import type { ColourJitter } from "./colour.ts";
import type { LowAltitude } from "./crops.ts";
import { parseJson, problemOf } from "./json.ts";

/** A probability, 0 to 1: 0 is off, 1 is always. */
export interface Chance {
  p: number;
}

/** Transforms of one kind of picture, in the order in which they are applied. */
export interface ViewSettings {
  /** Box of a lower altitude, by the chance `p`. */
  low_altitude: Chance & LowAltitude;
  /** Box of the middle, by the chance `p` where there is no box of a lower altitude. */
  center_zoom: Chance & { scale: [number, number] };
  /** Written as JPEG and read again; `quality` is uniform from the first to the second, 1 to 100. */
  jpeg: Chance & { quality: [number, number] };
  color_jitter: Chance & ColourJitter;
  /** One of the list, each as likely. */
  filter: Chance & { of: ("blur" | "sharpen" | "noise")[] };
  /** One of the list, each as likely. */
  dropout: Chance & { of: ("grid" | "coarse")[] };
}

/** Kinds of picture: drone photos, drone pictures of the game GTA V, and what they are matched to. */
export type View = "real_query" | "gta_query" | "gallery";

/** All that is random about a training sample. */
export interface AugmentSettings extends Record<View, ViewSettings> {
  /** Both pictures of a pair mirrored left to right. */
  flip: Chance;
  /** Each picture turned by 0 to 3 quarters, each as likely; maps have no upright. */
  rotate: Chance;
  /**
   * Lowest and highest altitude to simulate, m: replaces the scale of `low_altitude` for queries
   * whose altitude is known. `null` keeps it.
   */
  altitude_crop: [number, number] | null;
}

/** Altitudes of a low flight, m; what `altitude_crop` is set to if only asked to be automatic. */
export const LOW_FLIGHT_METERS: readonly [number, number] = [70, 150];

const mild: ViewSettings = {
  low_altitude: { p: 0, scale: [0.15, 0.30], jitter: 0.1 },
  center_zoom: { p: 0.5, scale: [0.25, 0.55] },
  jpeg: { p: 0.5, quality: [90, 100] },
  color_jitter: { p: 0.5, brightness: 0.15, contrast: 0.15, saturation: 0.15, hue: 0.15 },
  filter: { p: 0.3, of: ["blur", "sharpen"] },
  dropout: { p: 0.3, of: ["grid", "coarse"] },
};

/** The recipe of the published low-altitude training. @see {@linkcode parseAugmentSettings} */
export const AUGMENT_DEFAULTS: AugmentSettings = {
  flip: { p: 0.5 },
  rotate: { p: 0 },
  altitude_crop: null,
  real_query: {
    low_altitude: { p: 0.85, scale: [0.15, 0.30], jitter: 0.1 },
    center_zoom: { p: 0, scale: [0.25, 0.55] },
    jpeg: { p: 0.5, quality: [85, 100] },
    color_jitter: { p: 0.5, brightness: 0.2, contrast: 0.2, saturation: 0.2, hue: 0.1 },
    filter: { p: 0.3, of: ["blur", "sharpen", "noise"] },
    dropout: { p: 0, of: ["grid", "coarse"] },
  },
  gta_query: mild,
  gallery: mild,
};

const range = (number: z.ZodNumber) =>
  z.tuple([number, number]).refine(([low, high]) => low <= high, "expected the lower one first");
const share = z.number().min(0.01).max(1);
const change = z.number().min(0).max(1);

const section = <T extends z.ZodRawShape>(shape: T) =>
  z.strictObject({ p: z.number().min(0).max(1), ...shape }).partial().optional();

const view = z.strictObject({
  low_altitude: section({ scale: range(share), jitter: z.number().min(0).max(10) }),
  center_zoom: section({ scale: range(share) }),
  jpeg: section({ quality: range(z.int().min(1).max(100)) }),
  color_jitter: section({
    brightness: change,
    contrast: change,
    saturation: change,
    hue: z.number().min(0).max(0.5),
  }),
  filter: section({ of: z.array(z.enum(["blur", "sharpen", "noise"])).min(1) }),
  dropout: section({ of: z.array(z.enum(["grid", "coarse"])).min(1) }),
}).optional();

const schema = z.strictObject({
  flip: section({}),
  rotate: section({}),
  altitude_crop: range(z.number().positive()).nullish(),
  real_query: view,
  gta_query: view,
  gallery: view,
});

/**
 * Reads settings from JSON that says only what differs from {@linkcode AUGMENT_DEFAULTS}, for
 * example `{"flip": {"p": 0}, "gallery": {"jpeg": {"quality": [70, 100]}}}`.
 *
 * @param text File content.
 * @param path Named in errors, not read.
 * @throws {SyntaxError} If the text is not JSON.
 * @throws {TypeError} If a key is unknown or a value is of the wrong kind or out of range.
 */
export function parseAugmentSettings(text: string, path: string): AugmentSettings {
  const json = parseJson(text, `Cannot parse ${path}: `);
  const { data, error } = schema.safeParse(json);
  if (error !== undefined) {
    const { path: keys, code } = error.issues[0]!;
    const isUnknown = keys.length === 0 && code === "unrecognized_keys";
    const known = isUnknown ? `, known are ${Object.keys(AUGMENT_DEFAULTS).join(", ")}` : "";
    throw new TypeError(`Cannot parse ${path}: ${problemOf(error, json)}${known}`);
  }
  return overlay(AUGMENT_DEFAULTS, data);
}

/** The values of `change`, and those of `base` that it does not mention. */
function overlay<T>(base: T, change: unknown): T {
  if (typeof change !== "object" || change === null || Array.isArray(change)) return change as T;
  const merged = { ...base } as Record<string, unknown>;
  for (const [key, value] of Object.entries(change)) merged[key] = overlay(merged[key], value);
  return merged as T;
}
