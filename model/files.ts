/**
 * Files and checkpoint folders that are whole or absent, whatever happens while they are written.
 *
 * @module
 */
import { basename, dirname, join } from "node:path";

/** Age at which a temporary file is taken to be left by a killed process, milliseconds. */
const STALE = 3_600_000;

/**
 * Writes a file whole or not at all: under a temporary name beside it, synced, then renamed.
 *
 * @throws {Error} If the file cannot be written; an old file is then untouched.
 */
export async function writeFileAtomic(path: string, content: Uint8Array | string): Promise<void> {
  await checkFolder(path);
  await removeStale(path);
  // A random name: two processes may write the same cache file at the same time.
  const temporary = `${path}.${crypto.randomUUID().slice(0, 8)}.tmp`;
  try {
    await writeSynced(temporary, content);
    await Deno.rename(temporary, path);
  } catch (cause) {
    await removeIfThere(temporary);
    throw new Error(`Cannot write ${path}: ${(cause as Error).message}`, { cause });
  }
  await syncFolder(dirname(path));
}

/**
 * Writes a folder of files, replacing it as a whole. One process writes a folder.
 *
 * POSIX cannot exchange two folders in one call, so it takes two renames:
 *
 *     1. FOLDER.new is written and synced                  FOLDER is the old one
 *     2. FOLDER     -> FOLDER.old                          FOLDER is absent, FOLDER.old whole
 *     3. FOLDER.new -> FOLDER, FOLDER.old is removed       FOLDER is the new one
 *
 * A process killed between 2 and 3 leaves no FOLDER, but FOLDER.old: readers look there with
 * {@linkcode wholeFolder}, and the next writer renames it back.
 *
 * @param files Content by file name.
 * @param options.keepOld Leave FOLDER.old where it is until the next time, or until a full disk
 *   needs its room.
 * @throws {Error} If a file cannot be written; an old folder is then untouched.
 */
export async function writeFolderAtomic(
  path: string,
  files: ReadonlyMap<string, Uint8Array | string>,
  { keepOld = false }: { keepOld?: boolean } = {},
): Promise<void> {
  const write = () => replaceFolder(path, files, keepOld);
  await (keepOld ? withRoomOf(path, write) : write());
}

/**
 * Does some work, a second time without FOLDER.old if the disk is full and FOLDER is there.
 *
 * @throws {Error} If the work fails for want of more room, or for another reason.
 */
export async function withRoomOf(path: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!isFull(error) || !await exists(path) || !await exists(oldFolder(path))) throw error;
    await removeIfThere(oldFolder(path));
    await work();
  }
}

async function replaceFolder(
  path: string,
  files: ReadonlyMap<string, Uint8Array | string>,
  keepOld: boolean,
): Promise<void> {
  const [fresh, aside] = [`${path}.new`, oldFolder(path)];
  try {
    await recoverFolder(path);
    await removeIfThere(fresh);
    if (!keepOld) await removeIfThere(aside);
    await Deno.mkdir(fresh, { recursive: true });
    for (const [name, content] of files) await writeSynced(join(fresh, name), content);
    await syncFolder(fresh);
    if (await exists(path)) {
      await removeIfThere(aside);
      await Deno.rename(path, aside);
    }
    await Deno.rename(fresh, path);
    await syncFolder(dirname(path));
    if (!keepOld) await removeIfThere(aside).catch(() => {}); // the next time says so
  } catch (cause) {
    await removeIfThere(fresh).catch(() => {}); // what went wrong first is what matters
    throw new Error(`Cannot write ${path}: ${(cause as Error).message}`, { cause });
  }
}

/** Whether an error, or what caused it, is a disk without room. */
function isFull(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return ["ENOSPC", "EDQUOT"].includes((error as { code?: string }).code ?? "") ||
    isFull(error.cause);
}

/** Where {@linkcode writeFolderAtomic} puts the folder that it replaces. */
export function oldFolder(path: string): string {
  return `${path}.old`;
}

/** FOLDER, or FOLDER.old if only that is there. */
export async function wholeFolder(path: string): Promise<string> {
  return await exists(path) || !await exists(oldFolder(path)) ? path : oldFolder(path);
}

/**
 * Brings back the old folder if a process was killed while {@linkcode writeFolderAtomic} replaced
 * it; does nothing otherwise, also if there is no such folder.
 */
export async function recoverFolder(path: string): Promise<void> {
  if (await wholeFolder(path) === path) return;
  await Deno.rename(oldFolder(path), path);
  await syncFolder(dirname(path));
}

/** Replaces a folder that is no good by the one that it had replaced; it becomes FOLDER.damaged. */
export async function revertFolder(path: string): Promise<void> {
  const damaged = `${path}.damaged`;
  await removeIfThere(damaged);
  await Deno.rename(path, damaged); // killed here, there is FOLDER.old
  await recoverFolder(path);
}

/**
 * Bytes of an open file, which is at its beginning then.
 *
 * `stat()` of an open file asks for permission to read where its links lead, not where the path does
 * by which it was opened, and only that is granted.
 */
export function bytesIn(file: Deno.FsFile): number {
  const size = file.seekSync(0, Deno.SeekMode.End);
  file.seekSync(0, Deno.SeekMode.Start);
  return size;
}

async function writeSynced(path: string, content: Uint8Array | string): Promise<void> {
  using file = await Deno.open(path, { write: true, createNew: true });
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
  for (let written = 0; written < bytes.length;) {
    written += await file.write(bytes.subarray(written));
  }
  await file.sync();
}

/**
 * Makes renames in a folder last through a power cut. Windows cannot open folders, and many network
 * file systems know no sync of them.
 */
async function syncFolder(path: string): Promise<void> {
  if (Deno.build.os === "windows") return;
  using folder = await Deno.open(path);
  await folder.sync().catch((error) => {
    if (!["EINVAL", "ENOSYS", "ENOTSUP", "EOPNOTSUPP"].includes(error.code)) throw error;
  });
}

async function checkFolder(path: string): Promise<void> {
  if (await exists(dirname(path))) return;
  throw new Deno.errors.NotFound(`Cannot write ${path}: there is no folder ${dirname(path)}`);
}

/** Removes temporary files of `path` that no living writer can own, and nobody else's. */
async function removeStale(path: string): Promise<void> {
  const folder = dirname(path);
  const base = basename(path);
  for await (const { name, isFile } of Deno.readDir(folder)) {
    const isOurs = name.startsWith(base) && /^\.[0-9a-f]{8}\.tmp$/.test(name.slice(base.length));
    if (!isFile || !isOurs) continue;
    const info = await Deno.stat(join(folder, name)).catch(() => null); // renamed meanwhile
    if (info?.mtime && Date.now() - info.mtime.getTime() > STALE) {
      await removeIfThere(join(folder, name));
    }
  }
}

async function removeIfThere(path: string): Promise<void> {
  await Deno.remove(path, { recursive: true }).catch((error) => {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  });
}

/** Whether there is a file or folder of this path. */
export async function exists(path: string): Promise<boolean> {
  const { NotFound, NotADirectory } = Deno.errors; // the latter of paths that go on after a file
  return await Deno.stat(path).then(() => true, (error) => {
    if (error instanceof NotFound || error instanceof NotADirectory) return false;
    throw error;
  });
}
