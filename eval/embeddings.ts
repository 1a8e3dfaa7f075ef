/**
 * Files of embeddings, ours or anybody's.
 *
 * A safetensors file with tensors `query` (n, dim) and `gallery` (m, dim); its metadata holds under
 * the same two names a JSON array with the name of each row: the picture's path below the data root,
 * such as `drone/images/0001.png`. Names with more in front, or only the file name, serve as well
 * where they fit one picture only.
 *
 * @module
 */
import { type Picture, picturePath } from "../data/pairs.ts";
import type { Protocol } from "./protocol.ts";
import type { Embeddings } from "./ranks.ts";

const SIDES = ["query", "gallery"] as const;

/** Content of a safetensors file. */
export interface EmbeddingTensors {
  /** By name; the values are row-major. */
  tensors: Map<string, { shape: readonly number[]; data: Float32Array }>;
  metadata: Record<string, string>;
}

/** Embeddings with a name for each row. */
export interface NamedEmbeddings extends Embeddings {
  /** Of the rows of `query`. */
  queryNames: string[];
  /** Of the rows of `gallery`. */
  galleryNames: string[];
}

/** The tensors and metadata to write. */
export function toTensors(named: NamedEmbeddings): EmbeddingTensors {
  const { query, gallery, dim, queryNames, galleryNames } = named;
  return {
    tensors: new Map([
      ["query", { shape: [queryNames.length, dim], data: query }],
      ["gallery", { shape: [galleryNames.length, dim], data: gallery }],
    ]),
    metadata: { query: JSON.stringify(queryNames), gallery: JSON.stringify(galleryNames) },
  };
}

/**
 * Checks a file of embeddings and brings its rows to unit length.
 *
 * @param file Its tensors and metadata.
 * @param path Named in errors.
 * @throws {TypeError} If a tensor or its names are missing, or their shapes or counts do not fit.
 * @throws {SyntaxError} If names are not JSON.
 * @throws {RangeError} If a row is zero or holds NaN or Infinity; the message has its name.
 */
export function parseEmbeddings(
  { tensors, metadata }: EmbeddingTensors,
  path: string,
): NamedEmbeddings {
  const where = `Cannot read embeddings from ${path}`;
  const [query, gallery] = SIDES.map((side) => {
    const tensor = tensors.get(side);
    const names = parseNames(metadata[side], `${where}: metadata "${side}"`);
    const [rows, dim] = tensor?.shape ?? [];
    if (tensor?.shape.length !== 2 || rows !== names.length || dim === undefined || dim === 0) {
      throw new TypeError(
        `${where}: tensor "${side}" is ${tensor ? `(${tensor.shape})` : "missing"}, ` +
          `expected (${names.length}, dim) for the ${names.length} names in the metadata`,
      );
    }
    const label = (row: number) => `${where}: ${side} "${names[row]}"`;
    return { names, dim, values: normaliseRows(tensor.data, dim, label) };
  }) as [NamedRows, NamedRows];
  if (query.dim !== gallery.dim) {
    throw new TypeError(
      `${where}: "query" has rows of ${query.dim} values but "gallery" of ${gallery.dim}`,
    );
  }
  return {
    query: query.values,
    gallery: gallery.values,
    dim: query.dim,
    queryNames: query.names,
    galleryNames: gallery.names,
  };
}

interface NamedRows {
  names: string[];
  dim: number;
  values: Float32Array;
}

function parseNames(text: string | undefined, where: string): string[] {
  if (text === undefined) {
    throw new TypeError(`${where} is missing, expected a JSON array with the name of each row`);
  }
  let names: unknown;
  try {
    names = JSON.parse(text);
  } catch (cause) {
    throw new SyntaxError(`${where} is not JSON, expected an array of names`, { cause });
  }
  if (Array.isArray(names) && names.every((name) => typeof name === "string")) return names;
  throw new TypeError(`${where} is ${text.slice(0, 40)}, expected a JSON array of strings`);
}

/**
 * Rows of unit length.
 *
 * @param values `(rows, dim)`, row-major; not modified.
 * @param label Start of an error about a row.
 * @throws {RangeError} If a row is zero or holds NaN or Infinity.
 */
export function normaliseRows(
  values: Float32Array,
  dim: number,
  label: (row: number) => string,
): Float32Array {
  const unit = new Float32Array(values.length);
  for (let start = 0; start < values.length; start += dim) {
    let squares = 0;
    for (let d = 0; d < dim; d++) squares += values[start + d]! ** 2;
    const norm = Math.sqrt(squares);
    if (!(norm > 0 && norm < Infinity)) {
      throw new RangeError(
        `${label(start / dim)} has an embedding of length ${norm}, wanted a finite one above 0`,
      );
    }
    for (let d = 0; d < dim; d++) unit[start + d] = values[start + d]! / norm;
  }
  return unit;
}

/**
 * Names to write for pictures: the path below the root, or with the root where two pictures of
 * different roots share that.
 */
export function pictureNames(pictures: readonly Picture[]): string[] {
  const counts = new Map<string, number>();
  const short = pictures.map(({ folder, name }) => componentsOf(`${folder}/${name}`).join("/"));
  for (const name of short) counts.set(name, (counts.get(name) ?? 0) + 1);
  return short.map((name, i) => counts.get(name) === 1 ? name : picturePath(pictures[i]!));
}

/**
 * The rows of a file that a protocol needs, in its order; other rows are left out.
 *
 * A name fits a picture if it ends like the picture's path, at least for the folder and name in the
 * pairs file or for the whole name. Of several rows that fit, the one that agrees longest is taken.
 *
 * @param path Named in errors.
 * @throws {RangeError} If pictures have no row, two rows that fit equally, or share one; the
 * message counts them and names the first.
 */
export function alignEmbeddings(
  named: NamedEmbeddings,
  protocol: Pick<Protocol, "queries" | "gallery">,
  path: string,
): Embeddings {
  const { dim, query, gallery, queryNames, galleryNames } = named;
  const pick = (values: Float32Array, names: string[], items: readonly { picture: Picture }[]) => {
    const rows = matchRows(names, items.map(({ picture }) => picture), path);
    return takeRows(values, dim, rows);
  };
  return {
    dim,
    query: pick(query, queryNames, protocol.queries),
    gallery: pick(gallery, galleryNames, protocol.gallery),
  };
}

/** Copies rows into a new array, in the order of `rows`. */
export function takeRows(values: Float32Array, dim: number, rows: readonly number[]): Float32Array {
  const taken = new Float32Array(rows.length * dim);
  rows.forEach((from, to) => taken.set(values.subarray(from * dim, (from + 1) * dim), to * dim));
  return taken;
}

function matchRows(names: readonly string[], pictures: readonly Picture[], path: string): number[] {
  const parts = names.map(componentsOf);
  const candidates = rowsByEnd(parts);
  const owners = new Map<number, Picture>();
  const problems: string[] = [];
  const rows = pictures.map((picture) => {
    const full = componentsOf(picturePath(picture));
    const least = componentsOf(`${picture.folder}/${picture.name}`).length;
    let best: number[] = [];
    let longest = 0;
    for (const row of candidates(full, least)) {
      const shared = sharedEnd(parts[row]!, full);
      if (shared < Math.min(least, parts[row]!.length) || shared < longest) continue;
      best = shared > longest ? [row] : [...best, row];
      longest = shared;
    }
    const row = best[0] ?? -1;
    const other = owners.get(row);
    if (best.length !== 1) {
      problems.push(`${picturePath(picture)} fits ${best.length} rows, wanted 1`);
    } else if (other !== undefined) {
      problems.push(`"${names[row]}" fits ${picturePath(other)} and ${picturePath(picture)}`);
    } else owners.set(row, picture);
    return row;
  });
  if (problems.length === 0) return rows;
  throw new RangeError(
    `Cannot find the embeddings of ${problems.length} of ${pictures.length} pictures in ${path}, ` +
      `which has ${names.length}${names.length > 0 ? ` such as "${names[0]}"` : ""}: ` +
      `first, ${problems[0]}`,
  );
}

/**
 * Finds the rows that may fit a path, whose last components must be `least` of theirs or all of
 * theirs: few, though thousands of pictures may have one file name.
 */
function rowsByEnd(
  parts: readonly string[][],
): (full: readonly string[], least: number) => Iterable<number> {
  const whole = Map.groupBy(parts.keys(), (row) => parts[row]!.join("/"));
  const byEnd = new Map<number, Map<string, number[]>>(); // by how many components the end has
  const longer = (least: number) => {
    const rows = byEnd.get(least) ?? Map.groupBy(
      parts.keys().filter((row) => parts[row]!.length >= least),
      (row) => parts[row]!.slice(-least).join("/"),
    );
    byEnd.set(least, rows);
    return rows;
  };
  return function* (full, least) {
    const end = (length: number) => full.slice(-length).join("/");
    yield* longer(least).get(end(least)) ?? [];
    for (let length = 1; length < least; length++) yield* whole.get(end(length)) ?? [];
  };
}

function componentsOf(path: string): string[] {
  return path.split(/[\\/]/).filter((part) => part !== "" && part !== ".");
}

/** How many components two paths share at their ends. */
function sharedEnd(a: readonly string[], b: readonly string[]): number {
  const length = Math.min(a.length, b.length);
  let shared = 0;
  while (shared < length && a[a.length - 1 - shared] === b[b.length - 1 - shared]) shared++;
  return shared;
}
