/**
 * Lists the pictures of a folder.
 *
 * @module
 */
import { type Dirent, readdirSync, realpathSync, statSync } from "node:fs";
import { join } from "node:path";

const PICTURE = /\.(jpe?g|png|webp|tiff?|gif|avif|hei[cf]|jxl|jp2)$/i;

/**
 * Names of all pictures in a folder and those below it, in the same order everywhere.
 *
 * A picture is a file that is not hidden, with an extension of a format that can be decoded.
 * Links count as what they lead to.
 *
 * @param folder Path.
 * @returns Names relative to `folder` with `/` between, ordered by UTF-16 code units.
 * @throws {Error} If the folder or one below it cannot be read, or lies in itself by a link.
 */
export function listPictures(folder: string): string[] {
  const names: string[] = [];
  /** @param targets Of the links that lead to `below`. */
  const walk = (below: string, targets: readonly string[]) => {
    for (const entry of readFolder(`${folder}/${below}`)) {
      const { name } = entry;
      if (name.startsWith(".")) continue;
      const target = linkedFolder(entry);
      const inside = `${below}${name}/`;
      if (target !== null && targets.includes(target)) {
        throw new Error(
          `Cannot list the pictures of ${folder}: its folder ${inside} lies in itself, ` +
            "expected no link that leads round",
        );
      }
      if (target !== null) walk(inside, [...targets, target]);
      else if (entry.isDirectory()) walk(inside, targets);
      else if (PICTURE.test(name)) names.push(below + name);
    }
  };
  walk("", []);
  return names.sort();
}

/** Path of the folder that a link leads to, null if it is no link or leads elsewhere. */
function linkedFolder(entry: Dirent): string | null {
  if (!entry.isSymbolicLink()) return null;
  const path = join(entry.parentPath, entry.name);
  const isFolder = statSync(path, { throwIfNoEntry: false })?.isDirectory();
  return isFolder ? realpathSync(path) : null;
}

function readFolder(path: string): Dirent[] {
  try {
    return readdirSync(path, { withFileTypes: true });
  } catch (cause) {
    throw new Error(`Cannot list the pictures of ${path}: ${(cause as Error).message}`, { cause });
  }
}
