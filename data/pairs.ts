/**
 * Reads pairs files: the JSON of GTA-UAV, UAV-VisLoc, VPAIR and files merged from them.
 *
 * @module
 */
import { basename, isAbsolute, join, posix, resolve } from "node:path";
import { parseJson, show } from "./json.ts";
import { asDegrees, checkEntry, referencesOf, toLocation } from "./raw_entry.ts";
import { cannotRead, readText } from "./read.ts";

/** A picture of a data set; (root, folder, name) is its key. */
export interface Picture {
  /** Folder of the data set. */
  root: string;
  /** Folder below the root, `drone_img_dir` or `sate_img_dir`. */
  folder: string;
  /** File name below the folder. */
  name: string;
}

/** Where something is: metres on a plane with x and y at right angles, or degrees on WGS 84. */
export type Location =
  | { unit: "metres"; x: number; y: number }
  | { unit: "degrees"; lat: number; lon: number };

/** A picture that shows the ground of a query. */
export interface Reference {
  picture: Picture;
  /** How well it shows it: IoU of the footprints or similar, no unit, 1 where the file has none. */
  weight: number;
  location: Location | null;
  /** False for a semi-positive. */
  positive: boolean;
}

/** One element of a pairs file: a query and the pictures that show the same ground. */
export interface Entry {
  /** Position in the JSON array. */
  index: number;
  /** `dataset_source`, or the last folder of the data root in lower case. */
  source: string;
  query: Picture;
  location: Location | null;
  /** Positives in file order, then the other semi-positives; each picture once. */
  references: Reference[];
  /** Metres, above 0. */
  altitudeMeters: number | null;
  /** Which virtual copy of the query this is, from 0. */
  duplicateId: number;
}

/** Which references make pairs: positives only, or semi-positives too. */
export type PairMode = "pos" | "pos_semipos";

/** An edge (query, reference): the unit of training. */
export interface Pair {
  query: Picture;
  reference: Picture;
  /** Of the reference, no unit. */
  weight: number;
  source: string;
  /** Index of the entry. */
  entry: number;
  /** Metres, above 0. */
  altitudeMeters: number | null;
  duplicateId: number;
}

/** How to read a pairs file. */
export interface ParseOptions {
  /** Named in errors. */
  path: string;
  /** Root of entries without a `data_root` of their own. */
  dataRoot?: string;
  /** Accepts pictures with an absolute path, or one that leaves the root by `..`. */
  allowOutsideRoot?: boolean;
}

/** Largest pairs file that is read, bytes: 256 MiB, some 200,000 entries. */
export const MAX_PAIRS_BYTES: number = 2 ** 28;

/** A string that is the same for two pictures only if they are the same file of a data set. */
export function pictureKey({ root, folder, name }: Picture): string {
  return `${root}\0${folder}\0${name}`; // no part holds a NUL, the reader refuses it
}

/** Path of a picture; an absolute part drops those before it, as in Python's `os.path.join`. */
export function picturePath({ root, folder, name }: Picture): string {
  if (isAbsolute(name)) return name;
  return isAbsolute(folder) ? join(folder, name) : join(root, folder, name);
}

/**
 * Reads the text of a pairs file.
 *
 * @throws {RangeError} If the file is larger than {@linkcode MAX_PAIRS_BYTES}.
 * @throws {SyntaxError} If it is not UTF-8.
 * @throws {Error} If it cannot be read.
 */
export async function readPairsText(path: string): Promise<string> {
  const { isFile, size } = await Deno.stat(path).catch(cannotRead(path));
  if (!isFile) throw new Error(`Cannot read ${path}: it is not a file`); // a device may have no end
  checkSize(path, size);
  return await readText(path);
}

/**
 * Parses a JSON array of entries.
 *
 * Values under a `lat_lon` key are degrees. Values under an `x_y` key are metres, unless all of the
 * source's values in the file are within -90..90 and -180..180, and in most of its entries each
 * reference is within 0.1 of its query. Metres do not look like that: tiles miss a query by more than
 * 10 cm. A few entries of degrees may, as those of a camera that had no position yet.
 *
 * A backslash parts folders in the paths of pictures, as `/` does: files come from Windows too. So a
 * picture whose name holds one, as Linux allows, cannot be named.
 *
 * @param text File content.
 * @throws {RangeError} If the text is longer than {@linkcode MAX_PAIRS_BYTES}.
 * @throws {SyntaxError} If the text is not JSON.
 * @throws {TypeError} If an entry has a wrong or missing value, longitude before latitude, lists of
 * unequal length, no root or a picture outside its root; the message names the file, the entry's index and the key.
 * @see https://github.com/Yux1angJi/GTA-UAV (the format)
 */
export function parseEntries(text: string, options: ParseOptions): Entry[] {
  const { path, dataRoot, allowOutsideRoot = false } = options;
  checkSize(path, text.length);
  const json = parseJson(text, `Cannot parse ${path}: `);
  if (!Array.isArray(json)) {
    throw new TypeError(`Cannot parse ${path}: it is ${show(json)}, expected an array of entries`);
  }

  const raws = json.map((value: unknown, index) => {
    const where = `Cannot parse ${path}: entry ${index}`;
    const raw = checkEntry(value, where);
    const root = raw.data_root ?? dataRoot;
    if (root === undefined) {
      throw new TypeError(`${where}: "data_root" is missing, and no --data_root is given`);
    }
    const source = raw.dataset_source ?? (basename(resolve(root)).toLowerCase() || "data");
    return { ...raw, where, root: withoutSlash(root), source };
  });
  const inMetres = new Set<string>();
  for (const [source, entries] of Map.groupBy(raws, ({ source }) => source)) {
    const { near = [], far = [], swapped = [], "out of range": out = [] } = Object.groupBy(
      entries,
      (raw) => asDegrees(raw) ?? "unknown",
    );
    const isMostlyDegrees = near.length + swapped.length > far.length;
    if (swapped.length > 0 && out.length === 0 && isMostlyDegrees) {
      const { where, drone_loc_x_y: found } = swapped[0]!;
      throw new TypeError(
        `${where}: "drone_loc_x_y" is ${show(found)}, expected latitude before longitude`,
      );
    }
    if (out.length > 0 || (far.length > 0 && far.length >= near.length)) inMetres.add(source);
  }

  // One object a picture, in the first spelling of its path: a tile is named many times.
  const pictures = new Map<string, Picture>();
  return raws.map((raw, index) => {
    const { where, root, source } = raw;
    const xyUnit = inMetres.has(source) ? "metres" : "degrees";
    const toPicture = (dir: string, name: string, key: string): Picture => {
      const picture = { root, folder: withoutSlash(dir), name };
      const id = pictureKey({ root, folder: plain(dir), name: plain(name) });
      const known = pictures.get(id);
      if (known !== undefined) return known;
      checkPicture(picture, `${where}: "${key}"`, allowOutsideRoot);
      pictures.set(id, picture);
      return picture;
    };
    return {
      index,
      source,
      query: toPicture(raw.drone_img_dir, raw.drone_img_name, "drone_img_name"),
      location: toLocation(raw.drone_loc_lat_lon, raw.drone_loc_x_y, xyUnit),
      references: referencesOf(raw, xyUnit).map(({ name, weight, location, positive }) => {
        const key = `pair_${positive ? "pos" : "pos_semipos"}_sate_img_list`;
        const picture = toPicture(raw.sate_img_dir, name, key);
        return { picture, weight: weight ?? 1, location, positive };
      }),
      altitudeMeters: raw.altitude_meters ?? null,
      duplicateId: raw.duplicate_id ?? 0,
    };
  });
}

/** One spelling a path: "./drone" and "drone//" are "drone". */
function plain(path: string): string {
  return withoutSlash(posix.normalize(path));
}

/** So that "drone/" and "drone" are one folder. */
function withoutSlash(folder: string): string {
  return folder.length > 1 && folder.endsWith("/") ? folder.slice(0, -1) : folder;
}

function checkSize(path: string, size: number): void {
  if (size > MAX_PAIRS_BYTES) {
    throw new RangeError(`Cannot read ${path}: ${size} bytes, at most ${MAX_PAIRS_BYTES} are read`);
  }
}

function checkPicture(picture: Picture, where: string, allowOutsideRoot: boolean): void {
  const { root, folder, name } = picture;
  if (/\p{Cc}/u.test(root + folder + name)) {
    throw new TypeError(`${where}: ${show(picture)} holds control characters, expected a path`);
  }
  if (allowOutsideRoot) return;
  // Drive letters wherever we run: the file may come from another system.
  const isRooted = [folder, name].some((part) => /^\/|^[a-z]:/i.test(part));
  if (isRooted || /^\.\.(\/|$)/.test(posix.join(folder, name))) {
    throw new TypeError(
      `${where}: ${show(name)} in ${show(folder)} is not inside the data root, ` +
        "expected a relative path within it (or --allow_outside_root)",
    );
  }
}

/**
 * The pairs of all entries, in their order.
 *
 * @param mode `pos`: positives only; `pos_semipos`: all references.
 */
export function pairsOf(entries: readonly Entry[], mode: PairMode): Pair[] {
  return entries.flatMap(({ references, query, source, index, altitudeMeters, duplicateId }) =>
    references.filter(({ positive }) => positive || mode === "pos_semipos").map((
      { picture, weight },
    ) => ({ query, reference: picture, weight, source, entry: index, altitudeMeters, duplicateId }))
  );
}
