/**
 * Files that are read whole, and errors that say which one cannot be read.
 *
 * @module
 */

/**
 * Reads a file.
 *
 * @throws {Error} If it is not there or cannot be read.
 */
export async function readBytes(path: string): Promise<Uint8Array<ArrayBuffer>> {
  return await Deno.readFile(path).catch(cannotRead(path));
}

/**
 * Reads a text, without the mark that editors on Windows put before UTF-8.
 *
 * @throws {SyntaxError} If it is not UTF-8.
 * @throws {Error} If it is not there or cannot be read.
 */
export async function readText(path: string): Promise<string> {
  const bytes = await readBytes(path);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new SyntaxError(`Cannot parse ${path}: it is not UTF-8 text`, { cause });
  }
}

/** Makes what the system says of a file an error that names it; the system's is its cause. */
export function cannotRead(path: string): (cause: Error) => never {
  return (cause) => {
    const [reason] = cause.message.split(/: \w+ '/); // the path follows
    const found = cause instanceof Deno.errors.NotFound ? "no such file" : reason;
    throw new Error(`Cannot read ${path}: ${found}`, { cause });
  };
}
