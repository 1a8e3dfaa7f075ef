/**
 * Lists the pictures of a folder.
 *
 * @module
 */
import { readdirSync } from "node:fs";

const PICTURE = /\.(jpe?g|png|webp|tiff?)$/i;

/**
 * Names of all pictures in a folder and those below it, in the same order everywhere.
 *
 * A picture is a file called .jpg, .jpeg, .png, .webp, .tif or .tiff that is not hidden.
 *
 * @param folder Path.
 * @returns Names relative to `folder` with `/` between, ordered by UTF-16 code units.
 * @throws {Error} If the folder or one below it cannot be read.
 */
export function listPictures(folder: string): string[] {
  const names: string[] = [];
  const walk = (below: string) => {
    for (const entry of readFolder(`${folder}/${below}`)) {
      if (entry.name.startsWith(".")) continue;
      if (entry.isDirectory()) walk(`${below}${entry.name}/`);
      else if (PICTURE.test(entry.name)) names.push(below + entry.name);
    }
  };
  walk("");
  return names.sort();
}

function readFolder(path: string) {
  try {
    return readdirSync(path, { withFileTypes: true });
  } catch (cause) {
    throw new Error(`Cannot list the pictures of ${path}: ${(cause as Error).message}`, { cause });
  }
}
