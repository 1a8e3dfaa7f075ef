import { readBytes } from "./read.ts";

/** Bytes of files, the most recently used ones up to a limit. */
export class ByteCache {
  readonly #files = new Map<string, Uint8Array>(); // least recently used first
  readonly #limit: number;
  #held = 0;

  /** @param limit Most bytes to hold. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Bytes held. */
  get held(): number {
    return this.#held;
  }

  /**
   * The bytes of a file, read only if they are not held.
   *
   * @throws {Error} If the file cannot be read.
   */
  async read(path: string): Promise<Uint8Array> {
    const bytes = this.#files.get(path) ?? await readBytes(path);
    if (bytes.length > this.#limit) return bytes;
    if (!this.#files.delete(path)) this.#held += bytes.length;
    this.#files.set(path, bytes);
    for (const [oldest, { length }] of this.#files) {
      if (this.#held <= this.#limit) break;
      this.#files.delete(oldest);
      this.#held -= length;
    }
    return bytes;
  }
}
