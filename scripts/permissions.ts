/**
 * The least that a command may do. Deno's flags are fixed before a command knows which folders it
 * is to read and write, so it starts with the whole of the disk and gives up the rest.
 *
 * @module
 */
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { openDecoder } from "../data/decode.ts";
import type { Picture } from "../data/pairs.ts";

/** What a command needs from now on. */
export interface Needs {
  /** Files and folders to read besides those that are written, or "any". */
  read: Iterable<string> | "any";
  /** Folders to write. */
  write: Iterable<string>;
  /** Decode or encode pictures, which sharp does with native code. */
  pictures?: boolean;
  /** Reach the network. */
  net?: boolean;
}

/** Where sharp looks which C library the system has. */
const LIBC = "/usr/bin/ldd";

/**
 * Gives up every permission but those needed, for good, here and in workers started later.
 *
 * A permission granted for everything at once (`--allow-read`, `-A`) cannot be narrowed and stays
 * as it is; the tasks of `deno.json` grant `--allow-read=/`, which can.
 */
export async function keepOnly({ read, write, pictures, net }: Needs): Promise<void> {
  const native = pictures ? await sharpFiles() : []; // workers load the same again
  if (read !== "any") narrow("read", [...read, ...write, ...(pictures ? [LIBC, sources()] : [])]);
  narrow("write", write);
  // Of a binary's native code only Deno knows where it lies.
  if (!Deno.build.standalone) narrow("ffi", native);
  for (const name of ["run", "sys"] as const) Deno.permissions.revokeSync({ name });
  if (!net) Deno.permissions.revokeSync({ name: "net" });
}

/** Data roots of pictures, each once; "any" where pictures may lie outside of them. */
export function rootsOf(pictures: Iterable<Picture>, allowOutsideRoot: boolean): Needs["read"] {
  return allowOutsideRoot ? "any" : new Set(Iterator.from(pictures).map(({ root }) => root));
}

/** Replaces a permission for the root of the disk by those for some paths. */
function narrow(name: "read" | "write" | "ffi", paths: Iterable<string>): void {
  for (const path of paths) Deno.permissions.requestSync({ name, path });
  Deno.permissions.revokeSync({ name, path: "/" });
}

/** Files of sharp's native part; none where it does not load. */
async function sharpFiles(): Promise<string[]> {
  await openDecoder();
  return Object.keys(createRequire(import.meta.url).cache).filter((path) => path.endsWith(".node"));
}

/** Folder of the modules, from which workers start. */
function sources(): string {
  return fileURLToPath(new URL("..", import.meta.url));
}
