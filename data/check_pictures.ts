import { existsSync, statSync } from "node:fs";
import { checkHeader } from "./decode.ts";
import { type Picture, picturePath } from "./pairs.ts";
import { readBytes } from "./read.ts";

const CONCURRENCY = 16; // hides the latency of a disk
/** Bytes in which nearly every picture says what it is. */
const HEAD = 2 ** 18;
/** Pictures of a data root that are looked for. */
const TRIED = 16;

/**
 * Checks that some pictures of each data root are there, spread over the list: if all of these are
 * missing, the root is wrong, and waiting for a GPU would only delay saying so.
 *
 * @throws {Error} If no picture that was tried is there.
 */
export function checkRoots(pictures: Iterable<Picture>): void {
  for (const [root, all] of Map.groupBy(new Set(pictures), ({ root }) => root)) {
    const count = Math.min(TRIED, all.length);
    const tried = Array.from({ length: count }, (_, i) => all[Math.floor(i * all.length / count)]!);
    if (tried.some((picture) => existsSync(picturePath(picture)))) continue;
    const isFolder = statSync(root, { throwIfNoEntry: false })?.isDirectory();
    const { folder, name } = tried[0]!;
    throw new Error(
      `Cannot find pictures in ${root}: ` +
        (isFolder ? `none of ${count} that were tried is there` : "there is no such folder") +
        `, expected the data root of ${folder}/${name} (its entry's data_root, else --data_root)`,
    );
  }
}

/**
 * Reads every picture, each once, and checks its header as training does.
 *
 * @param onProgress Called with the number of pictures done, and of all, after each.
 * @returns How many there are, and what is wrong with those that training could not open, in the
 * order given.
 */
export async function checkPictures(
  pictures: Iterable<Picture>,
  onProgress: (done: number, total: number) => void = () => {},
): Promise<{ total: number; faults: string[] }> {
  const paths = [...new Set(Iterator.from(pictures).map(picturePath))];
  const faults = new Array<string | null>(paths.length).fill(null);
  let next = 0;
  let done = 0;
  const work = async () => {
    while (next < paths.length) {
      const i = next++;
      faults[i] = await faultOf(paths[i]!);
      onProgress(++done, paths.length);
    }
  };
  await Promise.all(Array.from({ length: CONCURRENCY }, work));
  return { total: paths.length, faults: faults.filter((fault) => fault !== null) };
}

async function faultOf(path: string): Promise<string | null> {
  try {
    await checkHeader(await readHead(path), path);
    return null;
  } catch {
    // The head may not be enough, nor show what is wrong.
  }
  try {
    await checkHeader(await readBytes(path), path);
    return null;
  } catch (error) {
    return (error as Error).message;
  }
}

async function readHead(path: string): Promise<Uint8Array> {
  using file = await Deno.open(path);
  const bytes = new Uint8Array(HEAD);
  let length = 0;
  for (let read: number | null = 0; read !== null && length < HEAD; length += read ?? 0) {
    read = await file.read(bytes.subarray(length));
  }
  return bytes.subarray(0, length);
}
