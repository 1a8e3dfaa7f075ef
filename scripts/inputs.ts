/**
 * What a run learns from, by digest: whoever resumes it must not go on with something else.
 *
 * @module
 */
import { createHash } from "node:crypto";
import type { AugmentSettings } from "../data/augment_settings.ts";
import type { Entry } from "../data/pairs.ts";
import { type Backbone, digestOf } from "../model/weights.ts";

/** Contents that flags name only by the path of a file. */
export interface Inputs {
  /** Of the training, all of them: references that make no pair still keep pairs apart. */
  entries: readonly Entry[];
  /** Of the evaluations, null without. */
  testEntries: readonly Entry[] | null;
  augment: AugmentSettings | null;
  backbone: Backbone;
}

/**
 * SHA-256 of each. Folders may have moved; the last one of a data root keeps its name, which is the
 * `source` of entries that name none.
 */
export function digestsOf(
  { entries, testEntries, augment, backbone }: Inputs,
): Record<string, string> {
  return {
    pairs: digestOfList(entries),
    "test pairs": digestOfList(testEntries ?? []),
    augment: createHash("sha256").update(JSON.stringify(augment)).digest("hex"),
    weights: digestOf(backbone),
  };
}

/** Of a list that might be longer than any string, as JSON without roots. */
function digestOfList(list: readonly Entry[]): string {
  const hash = createHash("sha256").update("[");
  list.forEach((item, i) => {
    if (i > 0) hash.update(",");
    hash.update(JSON.stringify(item, (key, value) => key === "root" ? undefined : value));
  });
  return hash.update("]").digest("hex");
}

/**
 * Compares digests with those that the run began with.
 *
 * @throws {Error} If something has changed.
 */
export function checkDigests(
  now: Readonly<Record<string, string>>,
  before: Readonly<Record<string, string>>,
): void {
  for (const [name, digest] of Object.entries(before)) {
    if (now[name] === digest) continue;
    const hint = name.endsWith("pairs")
      ? "; a data root that has moved must keep the name of its last folder"
      : "";
    throw new Error(
      `Cannot resume: the ${name} have changed since the run began ` +
        `(SHA-256 ${now[name]?.slice(0, 12)}, then ${digest.slice(0, 12)})${hint}`,
    );
  }
}
