/**
 * The header of a safetensors file, with every check that needs no data.
 *
 * Errors name the field only; the caller adds the file.
 *
 * @module
 */

import { parseJson, show } from "../data/json.ts";

/** Where a tensor lies. */
export interface HeaderEntry {
  /** Its key in the header. */
  name: string;
  /** As written, perhaps unknown. */
  dtype: string;
  /** Outermost dimension first. */
  shape: number[];
  /** First byte, counted from the end of the header. */
  begin: number;
  /** One past the last byte, counted likewise. */
  end: number;
}

/** A checked header. */
export interface Header {
  /** Without a prototype, so that an absent key is undefined whatever its name. */
  metadata: Record<string, string>;
  /** In the order of the data, which they cover without gap or overlap. */
  entries: HeaderEntry[];
}

const MAX_HEADER = 100_000_000; // bytes, the limit of the reference implementation
const MAX_RANK = 8;

/** Names, of types too, that can be printed. Those of models have some 50 characters. */
const NAME = /^\P{Cc}{0,256}$/u;

/** Bits an element takes, by type. */
const BITS: ReadonlyMap<string, number> = new Map([
  ["F4", 4],
  ...["F6_E2M3", "F6_E3M2"].map((name) => [name, 6] as const),
  ...["BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"]
    .map((name) => [name, 8] as const),
  ...["I16", "U16", "F16", "BF16"].map((name) => [name, 16] as const),
  ...["I32", "U32", "F32"].map((name) => [name, 32] as const),
  ...["I64", "U64", "F64", "C64"].map((name) => [name, 64] as const),
]);

/**
 * Length of the header, from the first 8 bytes.
 *
 * @param prefix At least the first 8 bytes, if the file has them.
 * @param size Bytes of the whole file.
 * @throws {SyntaxError} If no header of that length can follow.
 */
export function headerLength(prefix: Uint8Array<ArrayBuffer>, size: number): number {
  if (size < 8) throw new SyntaxError(`it has ${size} bytes, a safetensors file has at least 8`);
  const length = new DataView(prefix.buffer, prefix.byteOffset).getBigUint64(0, true);
  const most = Math.min(MAX_HEADER, size - 8);
  if (length > most) {
    throw new SyntaxError(
      `it announces a header of ${length} bytes where at most ${most} are possible: cut off, or not a safetensors file`,
    );
  }
  return Number(length);
}

/**
 * Parses a header.
 *
 * @param header UTF-8 JSON, perhaps padded with spaces.
 * @param size Bytes of data after the header.
 * @throws {SyntaxError} If it breaks a rule of the format or does not fit the data.
 */
export function parseHeader(header: Uint8Array<ArrayBuffer>, size: number): Header {
  const text = decode(header);
  if (!text.startsWith("{")) {
    throw new SyntaxError(`its header starts with ${show(text.slice(0, 1))}, expected "{"`);
  }
  const json = parseJson(text) as Record<string, unknown>; // it starts as an object
  checkKeysOnce(text);

  const entries: HeaderEntry[] = [];
  const metadata: Record<string, string> = Object.create(null);
  for (const [name, value] of Object.entries(json)) {
    if (name === "__metadata__") Object.assign(metadata, parseMetadata(value));
    else entries.push(parseEntry(name, value));
  }
  entries.sort((a, b) => a.begin - b.begin || a.end - b.end);
  let position = 0;
  for (const { name, begin, end } of entries) {
    if (begin !== position) {
      throw new SyntaxError(`data of ${show(name)} begins at ${begin}, expected ${position}`);
    }
    position = end;
  }
  if (position !== size) {
    throw new SyntaxError(`its tensors take ${position} bytes but ${size} follow the header`);
  }
  return { metadata, entries };
}

function decode(header: Uint8Array<ArrayBuffer>): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(header);
  } catch (cause) {
    throw new SyntaxError("its header is not UTF-8", { cause });
  }
}

/** JSON.parse keeps the last of equal keys in silence. Expects valid JSON. */
function checkKeysOnce(json: string): void {
  const scopes: Set<string>[] = [];
  let last = ""; // the string literal read last, a key if a colon follows
  for (let i = 0; i < json.length; i++) {
    if (json[i] === "{") scopes.push(new Set());
    else if (json[i] === "}") scopes.pop();
    else if (json[i] === '"') {
      const start = i++;
      while (json[i] !== '"') i += json[i] === "\\" ? 2 : 1;
      last = json.slice(start, i + 1);
    } else if (json[i] === ":") {
      const key: string = JSON.parse(last); // "\u0061" and "a" are the same key
      const keys = scopes.at(-1)!;
      if (keys.has(key)) throw new SyntaxError(`its header has the key ${show(key)} twice`);
      keys.add(key);
    }
  }
}

function parseMetadata(value: unknown): Record<string, string> {
  if (!isObject(value)) throw new SyntaxError('its "__metadata__" is not an object');
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== "string") {
      throw new SyntaxError(
        `${show(key)} of its "__metadata__" is ${show(text)}, expected a string`,
      );
    }
  }
  return value as Record<string, string>;
}

function parseEntry(name: string, value: unknown): HeaderEntry {
  if (!NAME.test(name)) {
    throw new SyntaxError(
      `${show(name)} is no name: expected at most 256 characters, none a control character`,
    );
  }
  const { dtype, shape, data_offsets: offsets } = isObject(value) ? value : {};
  if (
    typeof dtype !== "string" || !NAME.test(dtype) || !isCounts(shape) || !isCounts(offsets) ||
    offsets.length !== 2
  ) {
    throw new SyntaxError(
      `${
        show(name)
      } needs a text "dtype", and whole numbers from 0 to 2^53 as "shape" and as two "data_offsets"`,
    );
  }
  if (shape.length > MAX_RANK) {
    throw new SyntaxError(
      `${show(name)} has ${shape.length} dimensions, at most ${MAX_RANK} expected`,
    );
  }
  const [begin, end] = offsets as [number, number];
  const bits = BITS.get(dtype);
  if (bits === undefined) { // not ours to refuse: it matters only if somebody wants this tensor
    if (end < begin) throw new SyntaxError(`data of ${show(name)} ends at ${end}, before ${begin}`);
    return { name, dtype, shape, begin, end };
  }
  const size = shape.reduce((product, n) => product * n, bits) / 8;
  if (!(size === end - begin)) {
    throw new SyntaxError(
      `${show(name)} has ${end - begin} bytes, ${dtype} of shape (${shape}) takes ${size}`,
    );
  }
  return { name, dtype, shape, begin, end };
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && n >= 0);
}
