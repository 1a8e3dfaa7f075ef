/**
 * Checkpoints: an adapter folder, plus in `last/` all that a run needs to go on as if nothing had
 * happened.
 *
 * @module
 */
import { createHash } from "node:crypto";
import { join } from "node:path";
import { z } from "zod";
import { type Adapter, encodeAdapter, readAdapter } from "./adapter.ts";
import { oldFolder, recoverFolder, revertFolder, writeFolderAtomic } from "./files.ts";
import { parseJson, problemOf } from "../data/json.ts";
import { readBytes, readText } from "../data/read.ts";
import { encodeSafetensors, readSafetensors, toFloat32 } from "./safetensors.ts";
import type { OptimiserState } from "./trainer.ts";

const STATE_FILE = "trainer.json";
const TENSORS_FILE = "trainer.safetensors";
const TENSORS = ["m", "v", "scaler"] as const;

const PROGRESS = z.strictObject({
  /** Optimiser steps taken. */
  step: z.int().min(0),
  /** Epoch, from 0, and batches of it done. */
  epoch: z.int().min(0),
  batch: z.int().min(0),
  /** The sampler as it was before it drew this epoch. */
  sampler: z.strictObject({
    epoch: z.int().min(0),
    pairs: z.int().min(0),
    carried: z.array(z.int().min(0)),
  }),
  /** Best R@1 so far, percent, by source. */
  best: z.record(z.string(), z.number()),
  /** Sum and number of this epoch's losses so far. */
  losses: z.strictObject({ sum: z.number(), count: z.int().min(0) }),
  /** Bytes of the log and of the metrics file, to cut off what a killed run wrote after this. */
  written: z.record(z.string(), z.int().min(0)),
  /** Flags that change the losses: a run goes on only with the same. */
  flags: z.record(z.string(), z.unknown()),
  /** SHA-256 of what the run learns from, by name: a run goes on only with the same. */
  inputs: z.record(z.string(), z.string()),
});

/** Where a run is. */
export type RunProgress = z.infer<typeof PROGRESS>;

const STATE = PROGRESS.extend({
  /** Size and SHA-256 of every other file of the folder. */
  files: z.record(z.string(), z.strictObject({ bytes: z.int().min(0), sha256: z.string() })),
  /** SHA-256 of all above as JSON. */
  sha256: z.string(),
});

/** All that `last/` holds. */
export interface Checkpoint {
  adapter: Adapter;
  optimiser: OptimiserState;
  progress: RunProgress;
}

/**
 * Writes a checkpoint folder, whole or not at all, and keeps the one before it.
 *
 * @throws {Error} If it cannot be written; the last one is then untouched.
 */
export async function saveCheckpoint(
  folder: string,
  { adapter, optimiser, progress }: Checkpoint,
): Promise<void> {
  const files = encodeAdapter(adapter);
  const tensors = new Map(
    TENSORS.map((name) => [name, { shape: [optimiser[name].length], data: optimiser[name] }]),
  );
  files.set(TENSORS_FILE, encodeSafetensors(tensors));
  const sums = Object.fromEntries([...files].map(([name, content]) => [name, summary(content)]));
  files.set(STATE_FILE, stateText({ ...progress, files: sums }));
  await writeFolderAtomic(folder, files, { keepOld: true });
}

/**
 * Reads a checkpoint folder to go on from it. If it is damaged, the one before takes its place, and
 * it stays as FOLDER.damaged.
 *
 * @returns The checkpoint, and what was wrong with the damaged one, or null.
 * @throws {Error} If none is whole, or a file cannot be read, which may pass; both are then left as
 *   they are.
 */
export async function recoverCheckpoint(
  folder: string,
): Promise<{ checkpoint: Checkpoint; damage: string | null }> {
  try {
    return { checkpoint: await loadCheckpoint(folder), damage: null };
  } catch (error) {
    if (!isDamage(error as Error)) throw error;
    const checkpoint = await loadCheckpoint(oldFolder(folder)).catch(() => {
      throw error;
    });
    await revertFolder(folder);
    return { checkpoint, damage: (error as Error).message };
  }
}

/** Whether an error says that files are not what was saved, rather than that reading them failed. */
function isDamage(error: Error): boolean {
  return error instanceof SyntaxError || error instanceof TypeError ||
    error.cause instanceof Deno.errors.NotFound;
}

/**
 * Reads a checkpoint folder and checks every byte of it.
 *
 * @throws {SyntaxError} If a file is cut short or changed, or `trainer.json` is no JSON.
 * @throws {TypeError} If `trainer.json` is not such a state.
 * @throws {Error} If a file is missing or cannot be read.
 */
export async function loadCheckpoint(folder: string): Promise<Checkpoint> {
  await recoverFolder(folder);
  const path = join(folder, STATE_FILE);
  const { files, progress } = parseState(await readText(path), path);
  for (const [name, wanted] of Object.entries(files)) {
    const found = summary(await readBytes(join(folder, name)));
    if (found.bytes !== wanted.bytes || found.sha256 !== wanted.sha256) {
      throw new SyntaxError(
        `Cannot load ${join(folder, name)}: it has ${found.bytes} bytes and SHA-256 ` +
          `${found.sha256.slice(0, 12)}, expected ${wanted.bytes} and ${
            wanted.sha256.slice(0, 12)
          }`,
      );
    }
  }
  const tensors = await readSafetensors(join(folder, TENSORS_FILE));
  const [m, v, scaler] = TENSORS.map((name) => toFloat32(tensors, name));
  return {
    adapter: await readAdapter(folder),
    optimiser: { step: progress.step, m: m!, v: v!, scaler: scaler! },
    progress,
  };
}

/** Text of {@linkcode STATE_FILE}: the state, sealed. */
function stateText(state: object): string {
  const { sha256 } = summary(JSON.stringify(state));
  return JSON.stringify({ ...state, sha256 }, null, 2) + "\n";
}

function parseState(
  text: string,
  path: string,
): { files: z.infer<typeof STATE>["files"]; progress: RunProgress } {
  const json = parseJson(text, `Cannot load ${path}: `);
  const { error } = STATE.safeParse(json);
  if (error) throw new TypeError(`Cannot load ${path}: ${problemOf(error, json)}`);
  const { sha256, ...state } = json as z.infer<typeof STATE>; // keys in the file's order
  if (stateText(state) !== text) {
    throw new SyntaxError(
      `Cannot load ${path}: it was changed, its SHA-256 is not ${sha256.slice(0, 12)}`,
    );
  }
  const { files, ...progress } = state;
  return { files, progress };
}

function summary(content: Uint8Array | string): { bytes: number; sha256: string } {
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
  return { bytes: bytes.length, sha256: createHash("sha256").update(bytes).digest("hex") };
}
