/**
 * What autotune found out on this machine, kept in the user's cache folder.
 *
 * @module
 */
import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { readText } from "../data/read.ts";
import project from "../deno.json" with { type: "json" };
import type { TuneLevel } from "../kernels/tune.ts";
import { writeFileAtomic } from "../model/files.ts";
import { userCache } from "../model/hub.ts";
import { say } from "./progress.ts";

/** Flags of commands that tune. */
export const TUNE_FLAGS = {
  tune: {
    type: "string",
    default: "quick",
    choices: ["off", "quick", "full"],
    help: "time the layouts of kernels: not, once for each GPU, all of them now; changes no result",
  },
} as const;

/** File of the fastest layouts, by adapter and kernel; kernels of another version are others. */
export function layoutsFile(): string {
  return join(userCache(), "geolora", `layouts-${project.version}.json`);
}

/** The layouts to start from. What cannot be read is not known. */
export async function readLayouts(
  level: TuneLevel,
  file: string = layoutsFile(),
): Promise<Map<string, string>> {
  return level === "quick" ? await storedLayouts(file) : new Map();
}

/** Keeps layouts for later runs. A folder that cannot be written costs a warning, not the run. */
export async function keepLayouts(
  answers: ReadonlyMap<string, string>,
  file: string = layoutsFile(),
): Promise<void> {
  const stored = await storedLayouts(file); // another process may have written since
  if ([...answers].every(([key, layout]) => stored.get(key) === layout)) return;
  const sorted = [...stored, ...answers].sort(([a], [b]) => a < b ? -1 : 1);
  try {
    await mkdir(dirname(file), { recursive: true });
    await writeFileAtomic(file, JSON.stringify(Object.fromEntries(sorted), null, 2) + "\n");
  } catch (error) {
    say("stderr", `warning: cannot keep tuned layouts: ${(error as Error).message}`);
  }
}

async function storedLayouts(file: string): Promise<Map<string, string>> {
  try {
    const stored: unknown = JSON.parse(await readText(file));
    const entries = typeof stored === "object" && stored !== null ? Object.entries(stored) : [];
    return new Map(entries.filter(([, layout]) => typeof layout === "string"));
  } catch {
    return new Map();
  }
}
