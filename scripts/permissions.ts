/**
 * The least that a command may do. Deno's flags are fixed before a command knows which folders it
 * is to read and write, so it starts with the whole of the disk and gives up the rest.
 *
 * A permission granted for everything at once (`--allow-read`) cannot be narrowed and stays as it is;
 * the tasks of `deno.json`, and the binary with them, grant `--allow-read=/`, which can. Under `-A`
 * nothing is given up: only a program with all permissions may open what lies below `/dev`, such as
 * the RAM disk `/dev/shm`.
 *
 * @module
 */
import { createRequire } from "node:module";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { openDecoder } from "../data/decode.ts";
import type { Picture } from "../data/pairs.ts";
import { loadDawn } from "../kernels/dawn.ts";
import { hubCache } from "../model/hub.ts";

/** What a command needs besides reading. */
export interface Needs {
  /** Folders to write; null is no folder. */
  write: readonly (string | null)[];
  /** Decode or encode pictures, which takes native code. */
  pictures?: boolean;
  /** Reach the network. */
  net?: boolean;
  /** Whose WebGPU: Dawn's is native code too. */
  gpu?: string | null;
}

/** Where sharp looks which C library the system has. */
const LIBC = "/usr/bin/ldd";

/** What is read whatever the command. */
const alwaysRead = new Set<string>();

/**
 * Gives up every permission but these and reading, for good, here and in workers started later.
 * A command does it as soon as it knows its flags.
 */
export async function keepOnly({ write, pictures, net, gpu }: Needs): Promise<void> {
  if (mayAll()) return;
  const folders = write.filter((path) => path !== null);
  for (const path of folders) alwaysRead.add(path);
  narrow("write", folders);
  if (pictures) await openDecoder();
  if (gpu === "dawn") await loadDawn();
  const native = loadedFiles(); // workers load the decoder's again
  if (pictures) {
    alwaysRead.add(LIBC).add(fileURLToPath(new URL("..", import.meta.url))); // workers start there
    for (const path of native) alwaysRead.add(packagesOf(path)); // imagescript reads more of itself
  }
  // In a binary only Deno knows where native code lies.
  if (!Deno.build.standalone) narrow("ffi", native);
  for (const name of ["run", "sys"] as const) Deno.permissions.revokeSync({ name });
  if (!net) Deno.permissions.revokeSync({ name: "net" });
}

/** Gives up reading anything but these files and folders, as soon as a command knows them. */
export function keepReading(paths: Iterable<string | null>): void {
  if (mayAll()) return;
  narrow("read", [...alwaysRead, ...paths].filter((path) => path !== null));
}

/** Data roots of pictures, each once; the whole disk where pictures may lie outside of them. */
export function rootsOf(pictures: Iterable<Picture>, allowOutsideRoot: boolean): Set<string> {
  return allowOutsideRoot
    ? new Set(["/"])
    : new Set(Iterator.from(pictures).map(({ root }) => root));
}

/** Where an adapter and the weights of a backbone are read from. */
export function modelFiles(
  { adapter, weights }: { adapter: string | null; weights: string | null },
): (string | null)[] {
  return [adapter && dirname(adapter), weights ?? hubCache()];
}

/** Folder of a file to be written, which is written beside its place first. */
export function folderOf(file: string | null): string | null {
  return file && dirname(file);
}

/** Whether the program was started with `-A`. */
function mayAll(): boolean {
  const names = ["read", "write", "ffi", "run", "sys", "net", "env"] as const;
  return names.every((name) => Deno.permissions.querySync({ name }).state === "granted");
}

/** Replaces a permission for the root of the disk by those for some paths. */
function narrow(name: "read" | "write" | "ffi", paths: readonly string[]): void {
  if (paths.includes("/")) return;
  for (const path of paths) Deno.permissions.requestSync({ name, path });
  Deno.permissions.revokeSync({ name, path: "/" });
}

/** Native code that is loaded: sharp's, or imagescript's where sharp does not load, and Dawn's. */
function loadedFiles(): string[] {
  return Object.keys(createRequire(import.meta.url).cache).filter((path) => path.endsWith(".node"));
}

/** Folder of the package that a file belongs to, and of others. */
function packagesOf(path: string): string {
  return path.split(/[/\\](?:@img|imagescript)[/\\]/)[0]!;
}
