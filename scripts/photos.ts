import { join } from "node:path";
import { cannotRead } from "../data/read.ts";
import { listPictures } from "../eval/folder.ts";

/**
 * Paths of pictures: each path as it is, but a folder stands for the pictures in it and below.
 *
 * @throws {Error} If a path cannot be read, or a folder holds no picture.
 */
export function expandFolders(paths: readonly string[]): string[] {
  return paths.flatMap((path) => {
    if (!isFolder(path)) return [path];
    const names = listPictures(path);
    if (names.length > 0) return names.map((name) => join(path, name));
    throw new Error(`Cannot find pictures in ${path}: there is none, expected at least 1`);
  });
}

function isFolder(path: string): boolean {
  try {
    return Deno.statSync(path).isDirectory;
  } catch (cause) {
    return cannotRead(path)(cause as Error);
  }
}
