import { statSync } from "node:fs";
import { dirname } from "node:path";

/**
 * Checks that files can be written, before the work that leads to them.
 *
 * @param files Paths; null is no file.
 * @throws {Deno.errors.NotFound} If the folder of one is missing.
 * @throws {TypeError} If one is a folder.
 */
export function checkOutputs(files: Iterable<string | null>): void {
  const isFolder = (path: string) => statSync(path, { throwIfNoEntry: false })?.isDirectory();
  for (const file of files) {
    if (file === null) continue;
    if (!isFolder(dirname(file))) {
      throw new Deno.errors.NotFound(`Cannot write ${file}: there is no folder ${dirname(file)}`);
    }
    if (isFolder(file)) {
      throw new TypeError(`Cannot write ${file}: it is a folder, expected a file`);
    }
  }
}
