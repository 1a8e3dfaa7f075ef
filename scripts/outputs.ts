import { realpathSync, statSync } from "node:fs";
import { dirname, resolve } from "node:path";

/**
 * Checks that files can be written, before the work that leads to them.
 *
 * @param files Paths; null is no file.
 * @param inputs Paths of what is read; null is nothing.
 * @throws {Deno.errors.NotFound} If the folder of one is missing.
 * @throws {TypeError} If one is a folder, an input, or given twice.
 */
export function checkOutputs(
  files: Iterable<string | null>,
  inputs: readonly (string | null)[] = [],
): void {
  const written = new Set<string>();
  const isFolder = (path: string) => statSync(path, { throwIfNoEntry: false })?.isDirectory();
  for (const file of files) {
    if (file === null) continue;
    if (!isFolder(dirname(file))) {
      throw new Deno.errors.NotFound(`Cannot write ${file}: there is no folder ${dirname(file)}`);
    }
    if (isFolder(file)) {
      throw new TypeError(`Cannot write ${file}: it is a folder, expected a file`);
    }
    if (written.has(resolve(file))) {
      throw new TypeError(`Cannot write ${file}: it is given twice, expected two files`);
    }
    written.add(resolve(file));
    const real = realPath(file);
    if (real !== null && inputs.some((input) => input !== null && realPath(input) === real)) {
      throw new TypeError(`Cannot write ${file}: it is an input, expected another file`);
    }
  }
}

/** A path without links, null where there is nothing. */
function realPath(path: string): string | null {
  try {
    return realpathSync(path);
  } catch {
    return null;
  }
}
