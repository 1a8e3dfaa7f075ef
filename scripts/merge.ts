/**
 * Merges pairs files of several data sets into one.
 *
 *     deno task merge --visloc_json visloc.json --visloc_root data/visloc --output merged.json
 *
 * @module
 */
import { stat } from "node:fs/promises";
import { isAbsolute, resolve } from "node:path";
import { checkPictures } from "../data/check_pictures.ts";
import { formatObjects, type MergeSource, mergeSources, parseObjects } from "../data/merge.ts";
import { MAX_PAIRS_BYTES, parseEntries, type Picture, readPairsText } from "../data/pairs.ts";
import { SOURCE_NAME, SOURCE_NAME_RULE } from "../data/raw_entry.ts";
import { writeFileAtomic } from "../model/files.ts";
import { parseFlags, runScript, UsageError } from "./cli.ts";
import { checkOutputs } from "./outputs.ts";
import { folderOf, keepOnly, keepReading } from "./permissions.ts";
import { Progress } from "./progress.ts";

const ALTITUDE = { type: "number", unit: "metres", default: 400, min: 1 } as const;
const COPIES = { type: "integer", min: 1, help: "copies of each entry" } as const;

/** Flags of the command. */
export const FLAGS = {
  gta_json: { type: "string", unit: "file", help: "pairs of GTA-UAV" },
  gta_root: { type: "string", unit: "folder", help: "data root of GTA-UAV" },
  gta_multiplier: { ...COPIES, default: 1 },
  visloc_json: { type: "string", unit: "file", help: "pairs of UAV-VisLoc" },
  visloc_root: { type: "string", unit: "folder", help: "data root of UAV-VisLoc" },
  visloc_multiplier: { ...COPIES, default: 10 },
  visloc_altitude: { ...ALTITUDE, help: "altitude of UAV-VisLoc" },
  vpair_json: { type: "string", unit: "file", help: "pairs of VPAIR" },
  vpair_root: { type: "string", unit: "folder", help: "data root of VPAIR" },
  vpair_multiplier: { ...COPIES, default: 10 },
  vpair_altitude: { ...ALTITUDE, help: "altitude of VPAIR" },
  source: {
    type: "strings",
    unit: "name=json,root,multiplier,altitude",
    help: "another data set, may be repeated; multiplier (1) and altitude (none) may be left out",
  },
  output: { type: "string", unit: "file", required: true, help: "merged pairs" },
  no_shuffle: { type: "boolean", help: "keep the entries in order" },
  seed: { type: "integer", default: 42, help: "seed of the shuffle, as in Python's random" },
  check: { type: "boolean", help: "open every picture's header first, stop if any is bad" },
  allow_outside_root: { type: "boolean", help: "accept pictures outside their data root" },
} as const;
type Flags = ReturnType<typeof parseFlags<typeof FLAGS>>;

/** A data set to merge: where it is, and what {@linkcode MergeSource} needs. */
interface SourceSpec extends Omit<MergeSource, "entries"> {
  json: string;
}

/** What it is called and does. */
export const COMMAND = {
  name: "merge",
  summary: "merges pairs files of several data sets into one",
};

/** Runs the command. */
export async function main(args: string[]): Promise<void> {
  const flags = parseFlags(COMMAND, FLAGS, args);
  const specs = [...namedSources(flags), ...flags.source.map(parseSource)];
  checkSpecs(specs);
  checkOutputs([flags.output], specs.map(({ json }) => json));
  await keepOnly({ write: [folderOf(flags.output)], pictures: flags.check });
  const roots = flags.allow_outside_root ? ["/"] : specs.map(({ root }) => root);
  keepReading([...specs.map(({ json }) => json), ...roots]);

  const sources: MergeSource[] = [];
  const pictures: Picture[] = [];
  for (const { json, ...source } of specs) {
    const text = await readPairsText(json);
    const allowOutsideRoot = flags.allow_outside_root;
    const entries = parseEntries(text, { path: json, dataRoot: source.root, allowOutsideRoot });
    for (const { query, references } of entries) {
      pictures.push(query, ...references.map(({ picture }) => picture));
    }
    if (!(await stat(source.root).catch(() => null))?.isDirectory()) {
      throw new Error(`Cannot merge ${json}: its root "${source.root}" is not a folder`);
    }
    sources.push({ ...source, entries: parseObjects(text, json) });
  }
  if (flags.check) await check(pictures);

  const bytes = sources.reduce((sum, source) => sum + bytesOf(source), 0);
  if (bytes > MAX_PAIRS_BYTES) {
    throw new RangeError(
      `Cannot write ${flags.output}: it would have ${bytes} bytes, at most ${MAX_PAIRS_BYTES} ` +
        "can be read again; lower the multipliers",
    );
  }
  const merged = mergeSources(sources, flags.no_shuffle ? null : flags.seed);
  await writeFileAtomic(flags.output, formatObjects(merged));
  console.log(formatTable(sources));
  console.error(`merged ${merged.length} entries -> ${flags.output}`);
}

/** The data sets that have flags of their own. */
function namedSources(flags: Flags): SourceSpec[] {
  return (["gta", "visloc", "vpair"] as const).flatMap((name) => {
    const json = flags[`${name}_json`];
    const root = flags[`${name}_root`];
    if (json === null && root === null) return [];
    if (json === null || root === null) {
      const [given, missing] = json === null ? ["root", "json"] : ["json", "root"];
      throw new UsageError(
        `Cannot merge ${name}: --${name}_${given} is given but --${name}_${missing} is missing`,
      );
    }
    const altitudeMeters = name === "gta" ? null : flags[`${name}_altitude`];
    return [{
      name,
      json,
      root: toAbsolute(root),
      multiplier: flags[`${name}_multiplier`],
      altitudeMeters,
    }];
  });
}

/** A `--source`: NAME=JSON,ROOT[,MULTIPLIER[,ALTITUDE]]. */
function parseSource(text: string): SourceSpec {
  const match = /^([^=]+)=([^,]+),([^,]+)(?:,([1-9]\d{0,5})(?:,(\d{1,6}(?:\.\d+)?))?)?$/.exec(text);
  if (match === null || Number(match[5] ?? 1) === 0) {
    throw new UsageError(
      `Cannot merge: --source must be NAME=JSON,ROOT,MULTIPLIER,ALTITUDE: got "${text}"`,
    );
  }
  const [, name, json, root, multiplier, altitude] = match;
  return {
    name: name!,
    json: json!,
    root: toAbsolute(root!),
    multiplier: Number(multiplier ?? 1),
    altitudeMeters: altitude === undefined ? null : Number(altitude),
  };
}

/** The merged file may be read from another folder. An absolute root stays letter for letter. */
function toAbsolute(root: string): string {
  return isAbsolute(root) ? root : resolve(root);
}

function checkSpecs(specs: readonly SourceSpec[]): void {
  if (specs.length === 0) {
    throw new UsageError("Cannot merge: no pairs file is given, expected --gta_json or another");
  }
  const names = new Set<string>();
  for (const { name } of specs) {
    if (!SOURCE_NAME.test(name)) {
      throw new UsageError(`Cannot merge: source name is "${name}", ${SOURCE_NAME_RULE}`);
    }
    // Units are told per source, so two files under one name could be misread.
    if (names.has(name)) throw new UsageError(`Cannot merge: source "${name}" is given twice`);
    names.add(name);
  }
}

/** Lists pictures that cannot be opened on stdout. */
async function check(pictures: readonly Picture[]): Promise<void> {
  const progress = new Progress("check");
  const { total, faults } = await checkPictures(
    pictures,
    (done, total) => progress.show({ done, total, words: [] }),
  );
  progress.end();
  for (const fault of faults) console.log(fault);
  if (faults.length > 0) {
    throw new Error(`Cannot merge: ${faults.length} of ${total} pictures are missing or damaged`);
  }
}

/** What a source adds to the file, or up to 1 % more. */
function bytesOf(source: MergeSource): number {
  const { entries, multiplier } = source;
  const once = formatObjects(mergeSources([{ ...source, multiplier: 1 }], null));
  const digits = `${multiplier}`.length; // of duplicate_id
  return multiplier * (new TextEncoder().encode(once).length + digits * entries.length);
}

/** Entries of each source, their copies, and their share of the merged file. */
function formatTable(sources: readonly MergeSource[]): string {
  const total = sources.reduce(
    (sum, { entries, multiplier }) => sum + entries.length * multiplier,
    0,
  );
  const rows = sources.map(({ name, entries: { length }, multiplier }) => [
    name,
    length,
    `x${multiplier}`,
    length * multiplier,
    `${(100 * length * multiplier / Math.max(total, 1)).toFixed(1)}%`,
  ]);
  return [["source", "entries", "copies", "merged", "share"], ...rows, ["total", "", "", total, ""]]
    .map(([name, ...cells]) =>
      `${name}`.padEnd(16) + cells.map((cell) => `${cell}`.padStart(9)).join("").trimEnd()
    ).join("\n");
}

if (import.meta.main) await runScript(main);
