/** Training processes to be disturbed, and what is left of them. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { tinyFlags, writeTinyWorld } from "../scripts/tiny_world.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** The long form of the fault tests: `deno task test:long`. */
export const LONG: boolean = Deno.env.get("FAULTS") === "long";

/** A folder with a world to train on; removed when the test is done. */
export async function withWorld(fn: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await writeTinyWorld(folder, 36);
    await fn(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Flags of a run of 18 steps and 2 evaluations: more than half of its time is the start. */
export function faultFlags(folder: string, modelPath: string): string[] {
  const more = {
    test_pairs_meta_file: "pairs.json",
    depth: 1,
    lora_r: 2,
    lora_dropout: 0.2,
    epochs: 2,
    save_every: 2,
    model_path: modelPath,
  };
  return [
    ...tinyFlags(folder),
    "--no_zero_shot",
    ...Object.entries(more).flatMap(([name, value]) => [`--${name}`, `${value}`]),
  ];
}

/** A training process. */
export interface Training {
  process: Deno.ChildProcess;
  /** Code and standard error, when it has ended. */
  ended: Promise<{ code: number; signal: Deno.Signal | null; stderr: string }>;
  /** Waits until a text was written to standard error, or the process has ended. */
  said(text: string): Promise<void>;
  readonly isAlive: boolean;
}

/** Options of {@linkcode startTraining}. */
export interface StartOptions {
  /** Modules that run before the command. */
  preload?: readonly string[];
  permissions?: readonly string[];
  env?: Record<string, string>;
}

/** Starts `train`. */
export function startTraining(
  args: readonly string[],
  { preload = [], permissions, env = {} }: StartOptions = {},
): Training {
  const granted = permissions ?? ["read", "write", "env", "ffi"].map((name) => `--allow-${name}`);
  const process = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--quiet",
      "--no-prompt",
      ...granted,
      ...preload.map((module) => `--preload=${join(ROOT, "tests/faults", module)}`),
      join(ROOT, "scripts/train.ts"),
      ...args,
    ],
    cwd: ROOT,
    env,
    stdout: "null",
    stderr: "piped",
  }).spawn();
  let stderr = "";
  let isAlive = true;
  const waiting: { text: string; resolve(): void }[] = [];
  const read = (async () => {
    for await (const part of process.stderr.pipeThrough(new TextDecoderStream())) {
      stderr += part;
      for (const { text, resolve } of waiting) if (stderr.includes(text)) resolve();
    }
  })();
  const ended = Promise.all([process.status, read]).then(([{ code, signal }]) => {
    isAlive = false;
    return { code, signal, stderr };
  });
  return {
    process,
    ended,
    async said(text) {
      const { promise, resolve } = Promise.withResolvers<void>();
      waiting.push({ text, resolve });
      if (stderr.includes(text)) resolve();
      await Promise.race([promise, ended]);
    },
    get isAlive() {
      return isAlive;
    },
  };
}

/** Trains to the end, which must be a good one. */
export async function train(args: readonly string[], options?: StartOptions): Promise<string> {
  const { code, stderr } = await startTraining(args, options).ended;
  assert.equal(code, 0, stderr);
  return stderr;
}

/** Names in a folder, sorted. */
export function namesIn(folder: string): string[] {
  return [...Deno.readDirSync(folder)].map(({ name }) => name).sort();
}

/** Folders of the runs below a model path that have a checkpoint. */
export function runsOf(modelPath: string): string[] {
  if (!existsSync(modelPath)) return [];
  return namesIn(modelPath).flatMap((model) =>
    namesIn(join(modelPath, model)).map((name) => join(modelPath, model, name))
  ).filter((run) => existsSync(join(run, "last")) || existsSync(join(run, "last.old")));
}

/** The only run below a model path. */
export function theRun(modelPath: string): string {
  const [run, ...others] = runsOf(modelPath);
  assert(run !== undefined && others.length === 0, `${1 + others.length} runs in ${modelPath}`);
  return run;
}

/** What must not depend on how often a run was disturbed. */
export interface Traces {
  /** Lines of the metrics without what depends on the clock. */
  metrics: unknown[];
  /** Results in the log. */
  results: string[];
  /** SHA-256 by file: all adapters, and the optimiser at the end. */
  files: Record<string, string>;
  /** Names in the run's folder. */
  names: string[];
}

/** Reads what a finished run has left. */
export async function tracesOf(run: string): Promise<Traces> {
  const text = (name: string) => Deno.readTextFile(join(run, name));
  const names = namesIn(run);
  const files: Record<string, string> = {};
  for (const folder of names.filter((name) => existsSync(join(run, name, "adapter_config.json")))) {
    for (
      const file of ["adapter_config.json", "adapter_model.safetensors", "trainer.safetensors"]
    ) {
      const path = join(run, folder, file);
      if (!existsSync(path)) continue;
      const digest = await crypto.subtle.digest("SHA-256", await Deno.readFile(path));
      files[`${folder}/${file}`] = new Uint8Array(digest).toHex();
    }
  }
  return {
    metrics: (await text("metrics.jsonl")).trim().split("\n").map((line) => {
      const { images_per_s: _, ...rest } = JSON.parse(line);
      return rest;
    }),
    results: (await text("log.txt")).split("\n").filter((line) => /^(Epoch:|\[)/.test(line)),
    files,
    names,
  };
}
