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
 * A process killed between 2 and 3 leaves no FOLDER; {@linkcode recoverFolder} renames FOLDER.old
 * back, so the old folder is never lost. Every reader of such a folder calls it first.
 *
 * @param files Content by file name.
 * @throws {Error} If a file cannot be written; an old folder is then untouched.
 */
export async function writeFolderAtomic(
  path: string,
  files: ReadonlyMap<string, Uint8Array | string>,
): Promise<void> {
  await recoverFolder(path);
  const [fresh, aside] = [`${path}.new`, `${path}.old`];
  await removeIfThere(fresh);
  await removeIfThere(aside);
  await Deno.mkdir(fresh, { recursive: true });
  try {
    for (const [name, content] of files) await writeSynced(join(fresh, name), content);
    await syncFolder(fresh);
  } catch (cause) {
    await removeIfThere(fresh);
    throw new Error(`Cannot write ${path}: ${(cause as Error).message}`, { cause });
  }
  if (await exists(path)) await Deno.rename(path, aside);
  await Deno.rename(fresh, path);
  await syncFolder(dirname(path));
  await removeIfThere(aside);
}

/**
 * Brings back the old folder if a process was killed while {@linkcode writeFolderAtomic} replaced
 * it; does nothing otherwise, also if there is no such folder.
 */
export async function recoverFolder(path: string): Promise<void> {
  if (await exists(path) || !await exists(`${path}.old`)) return;
  await Deno.rename(`${path}.old`, path);
  await syncFolder(dirname(path));
}

async function writeSynced(path: string, content: Uint8Array | string): Promise<void> {
  using file = await Deno.open(path, { write: true, createNew: true });
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
  for (let written = 0; written < bytes.length;) {
    written += await file.write(bytes.subarray(written));
  }
  await file.sync();
}

/** Makes renames in a folder last through a power cut. Windows cannot open folders. */
async function syncFolder(path: string): Promise<void> {
  if (Deno.build.os === "windows") return;
  using folder = await Deno.open(path);
  await folder.sync();
}

async function checkFolder(path: string): Promise<void> {
  if (await exists(dirname(path))) return;
  throw new Deno.errors.NotFound(`Cannot write ${path}: there is no folder ${dirname(path)}`);
}

/** Removes temporary files of `path` that no living writer can own. */
async function removeStale(path: string): Promise<void> {
  const folder = dirname(path);
  for await (const { name } of Deno.readDir(folder)) {
    if (!name.startsWith(`${basename(path)}.`) || !name.endsWith(".tmp")) continue;
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

async function exists(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, (error) => {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  });
}
