/**
 * Reads and writes safetensors files: named arrays behind a JSON header.
 *
 *     8 bytes  n, u64
 *     n bytes  {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ...}, padded with spaces
 *     rest     the arrays, row-major, without holes
 *
 * All is little-endian, as are all machines that Deno runs on, so typed arrays serve as they are.
 *
 * @see https://github.com/huggingface/safetensors
 *
 * @module
 */
import { cannotRead } from "../data/read.ts";
import { sizeOf } from "../kernels/gpu.ts";
import { bytesIn, writeFileAtomic } from "./files.ts";
import { headerLength, parseHeader } from "./safetensors_header.ts";

/** One array as it is stored. */
export interface SafetensorsTensor {
  /** `F32`, `BF16`, ... as written in the file; not always one that {@linkcode toFloat32} reads. */
  dtype: string;
  /** At most 8 dimensions; empty for a single value. */
  shape: number[];
  /** View of the file's bytes; its offset need not be a multiple of the element size. */
  bytes: Uint8Array<ArrayBuffer>;
}

/** A parsed file. */
export interface SafetensorsFile {
  /** Named in errors. */
  path: string;
  /** Free text of the file's author, to be checked before use. */
  metadata: Record<string, string>;
  /** By name. */
  tensors: Map<string, SafetensorsTensor>;
}

/** An array to store. */
export interface FloatTensor {
  /** Outermost dimension first. */
  shape: readonly number[];
  /** Row-major, as many values as `shape` holds. */
  data: Float32Array;
}

/**
 * Reads a file into memory, once: the tensors are views of it.
 *
 * The header is held against the length of the file before the rest is read.
 *
 * @throws {SyntaxError} If the file breaks a rule of the format, or is cut off or too long.
 * @throws {Error} If the file cannot be read.
 */
export async function readSafetensors(path: string): Promise<SafetensorsFile> {
  using file = await openFile(path);
  const size = bytesIn(file);
  const prefix = await readExactly(file, new Uint8Array(Math.min(8, size)), path);
  const length = inFile(path, () => headerLength(prefix, size));
  const header = await readExactly(file, new Uint8Array(length), path);
  inFile(path, () => parseHeader(header, size - 8 - length));
  const bytes = new Uint8Array(size);
  bytes.set(prefix);
  bytes.set(header, 8);
  await readExactly(file, bytes.subarray(8 + length), path);
  return parseSafetensors(bytes, path);
}

/**
 * Parses the bytes of a file; the tensors are views of them.
 *
 * @param path Named in errors, not read.
 * @throws {SyntaxError} If the bytes break a rule of the format.
 */
export function parseSafetensors(bytes: Uint8Array<ArrayBuffer>, path: string): SafetensorsFile {
  const start = 8 + inFile(path, () => headerLength(bytes, bytes.length));
  const { metadata, entries } = inFile(
    path,
    () => parseHeader(bytes.subarray(8, start), bytes.length - start),
  );
  const tensors = new Map<string, SafetensorsTensor>();
  for (const { name, dtype, shape, begin, end } of entries) {
    tensors.set(name, { dtype, shape, bytes: bytes.subarray(start + begin, start + end) });
  }
  return { path, metadata, tensors };
}

/**
 * Values of one tensor as f32.
 *
 * A view of the file's memory where that holds aligned F32, else a copy.
 *
 * @param shape Wanted shape; any if absent.
 * @throws {TypeError} If the tensor is missing, has another shape, a type other than F32, F16, BF16
 *   and F64, or a value that is not finite as f32.
 */
export function toFloat32(
  file: SafetensorsFile,
  name: string,
  shape?: readonly number[],
): Float32Array<ArrayBuffer> {
  const fail = (problem: string): never => {
    throw new TypeError(`Cannot load ${file.path}: ${problem}`);
  };
  const tensor = file.tensors.get(name) ?? fail(`tensor "${name}" is missing`);
  if (shape !== undefined && `${tensor.shape}` !== `${shape}`) {
    fail(`tensor "${name}" is (${tensor.shape}), expected (${shape})`);
  }
  const values = convert(tensor) ??
    fail(`tensor "${name}" is ${tensor.dtype}, expected F32, F16, BF16 or F64`);
  const bad = values.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0) {
    fail(`value ${bad} of tensor "${name}" is ${values[bad]}, expected a finite number`);
  }
  return values;
}

/**
 * Bytes of a file that holds the tensors as F32, laid out as the reference writer does: sorted by
 * name, data aligned to 8 bytes.
 *
 * @throws {RangeError} If the number of values of a tensor is not that of its shape.
 * @throws {TypeError} If a value is not finite: {@linkcode toFloat32} would not read it.
 */
export function encodeSafetensors(
  tensors: ReadonlyMap<string, FloatTensor>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array<ArrayBuffer> {
  const sorted = [...tensors].sort(([a], [b]) => a < b ? -1 : 1);
  const fields: [string, unknown][] = [];
  if (Object.keys(metadata).length > 0) fields.push(["__metadata__", metadata]);
  let size = 0;
  for (const [name, { shape, data }] of sorted) {
    if (data.length !== sizeOf(shape)) {
      throw new RangeError(
        `Cannot store tensor "${name}": it has ${data.length} values but shape (${shape})`,
      );
    }
    const bad = data.findIndex((value) => !Number.isFinite(value));
    if (bad >= 0) {
      throw new TypeError(
        `Cannot store tensor "${name}": value ${bad} is ${data[bad]}, expected a finite number`,
      );
    }
    const offsets = [size, size += data.byteLength];
    fields.push([name, { dtype: "F32", shape, data_offsets: offsets }]);
  }
  const header = new TextEncoder().encode(JSON.stringify(Object.fromEntries(fields)));
  const start = 8 + Math.ceil(header.length / 8) * 8;
  const bytes = new Uint8Array(start + size);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(start - 8), true);
  bytes.set(header, 8);
  bytes.fill(0x20, 8 + header.length, start);
  let offset = start;
  for (const [, { data }] of sorted) {
    bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), offset);
    offset += data.byteLength;
  }
  return bytes;
}

/**
 * Writes tensors as F32 to a file, whole or not at all.
 *
 * @throws {RangeError} If the number of values of a tensor is not that of its shape.
 * @throws {TypeError} If a value is not finite.
 * @throws {Error} If the file cannot be written.
 */
export async function writeSafetensors(
  path: string,
  tensors: ReadonlyMap<string, FloatTensor>,
  metadata: Readonly<Record<string, string>> = {},
): Promise<void> {
  await writeFileAtomic(path, encodeSafetensors(tensors, metadata));
}

/** f32 of a stored tensor, or null if its type is not a float we know. */
function convert({ dtype, bytes }: SafetensorsTensor): Float32Array<ArrayBuffer> | null {
  switch (dtype) {
    case "F32":
      return arrayOver(Float32Array, bytes);
    case "F64":
      return new Float32Array(arrayOver(Float64Array, bytes));
    case "F16":
      return new Float32Array(arrayOver(Float16Array, bytes));
    case "BF16": { // the upper half of an f32
      const halves = arrayOver(Uint16Array, bytes);
      return new Float32Array(Uint32Array.from(halves, (half) => half << 16).buffer);
    }
    default:
      return null;
  }
}

/** A typed array over bytes, which are copied if they are not aligned. */
function arrayOver<T>(
  type: { BYTES_PER_ELEMENT: number; new (buffer: ArrayBuffer, at: number, length: number): T },
  bytes: Uint8Array<ArrayBuffer>,
): T {
  const size = type.BYTES_PER_ELEMENT;
  const aligned = bytes.byteOffset % size === 0 ? bytes : bytes.slice();
  return new type(aligned.buffer, aligned.byteOffset, bytes.length / size);
}

/** Runs a check of the header and adds the file to its error. */
function inFile<T>(path: string, check: () => T): T {
  try {
    return check();
  } catch (cause) {
    throw new SyntaxError(`Cannot parse ${path}: ${(cause as Error).message}`, { cause });
  }
}

async function openFile(path: string): Promise<Deno.FsFile> {
  const { isDirectory } = await Deno.stat(path).catch(cannotRead(path));
  if (isDirectory) throw new TypeError(`Cannot read ${path}: it is a folder, expected a file`);
  return await Deno.open(path).catch(cannotRead(path));
}

/** Fills `into` from the position of the file on. */
async function readExactly(
  file: Deno.FsFile,
  into: Uint8Array<ArrayBuffer>,
  path: string,
): Promise<Uint8Array<ArrayBuffer>> {
  for (let filled = 0; filled < into.length;) {
    const count = await file.read(into.subarray(filled));
    if (count === null) {
      throw new SyntaxError(`Cannot read ${path}: it lost ${into.length - filled} bytes meanwhile`);
    }
    filled += count;
  }
  return into;
}
