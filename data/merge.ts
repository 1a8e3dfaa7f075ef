/**
 * Merges pairs files into one, as the Python script `merge_json_balanced.py` does.
 *
 * @module
 */
import { PythonRandom } from "./python_random.ts";

/** A JSON object, its keys in file order. */
export type JsonObject = Record<string, unknown>;

/** The entries of a pairs file, and what the merged file is to say of them. */
export interface MergeSource {
  /** `dataset_source`. */
  name: string;
  /** From {@linkcode parseObjects}. */
  entries: readonly JsonObject[];
  /** `data_root`. */
  root: string;
  /** Copies of each entry, at least 1. */
  multiplier: number;
  /** `altitude_meters`; null leaves the key out. */
  altitudeMeters: number | null;
}

// Access to the source text of a number: in V8 and ECMAScript, not yet in TypeScript's library.
const exactJson = JSON as unknown as {
  parse(
    text: string,
    reviver: (key: string, value: unknown, context: { source: string }) => unknown,
  ): unknown;
  rawJSON(text: string): unknown;
};

/**
 * Parses an array of objects that has passed {@linkcode parseEntries}, keeping the digits of
 * numbers: {@linkcode formatObjects} writes `400.0`, or an integer above 2^53, as it was. Only keys
 * that are integers move: JavaScript puts them first.
 *
 * @param path Named in errors.
 * @throws {TypeError} If an entry has a key that merging adds.
 */
export function parseObjects(text: string, path: string): JsonObject[] {
  const entries = exactJson.parse(text, (_key, value, { source }) => {
    const isAltered = typeof value === "number" && String(value) !== source;
    return isAltered ? exactJson.rawJSON(source) : value;
  }) as JsonObject[];
  entries.forEach((entry, index) => {
    for (const key of ["dataset_source", "data_root", "altitude_meters", "duplicate_id"]) {
      if (!Object.hasOwn(entry, key)) continue;
      throw new TypeError(
        `Cannot merge ${path}: entry ${index} already has the key "${key}", ` +
          "expected a file that is not merged yet",
      );
    }
  });
  return entries;
}

/**
 * Joins the sources in order, the copies of an entry side by side, and shuffles the whole.
 *
 * @param seed Of Python's `random`; null keeps the order.
 * @throws {RangeError} If the seed is not a safe integer.
 * @see https://github.com/AnielAlexa/GTA-UAV `Game4Loc/merge_json_balanced.py`
 */
export function mergeSources(sources: readonly MergeSource[], seed: number | null): JsonObject[] {
  const merged: JsonObject[] = [];
  for (const { name, entries, root, multiplier, altitudeMeters } of sources) {
    const added = {
      dataset_source: name,
      data_root: root,
      ...(altitudeMeters === null ? {} : { altitude_meters: pythonFloat(altitudeMeters) }),
    };
    for (const entry of entries) {
      for (let copy = 0; copy < multiplier; copy++) {
        merged.push({ ...entry, ...added, duplicate_id: copy });
      }
    }
  }
  if (seed !== null) new PythonRandom(seed).shuffle(merged);
  return merged;
}

/** Text of the file, as Python's `json.dump(entries, file, indent=2, ensure_ascii=False)`. */
export function formatObjects(entries: readonly JsonObject[]): string {
  return JSON.stringify(entries, null, 2);
}

/** Python writes a float with a fraction, even if it is 0. */
function pythonFloat(value: number): unknown {
  return Number.isSafeInteger(value) ? exactJson.rawJSON(`${value}.0`) : value;
}
