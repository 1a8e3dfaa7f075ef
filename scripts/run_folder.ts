/**
 * The folder of one training run: configuration, log, metrics, checkpoints.
 *
 * @module
 */
import { existsSync } from "node:fs";
import { join } from "node:path";

const FILES = { log: "log.txt", metrics: "metrics.jsonl" } as const;

/** Files that grow while a run goes on. */
export type RunFile = keyof typeof FILES;

/** A run's folder, open for writing. */
export class RunFolder {
  readonly #files: Record<RunFile, Deno.FsFile>;
  readonly path: string;

  constructor(path: string) {
    this.path = path;
    const open = (name: string) =>
      Deno.openSync(join(path, name), { write: true, create: true, append: true });
    this.#files = { log: open(FILES.log), metrics: open(FILES.metrics) };
  }

  /** Prints a line and adds it to the log. */
  log(line: string): void {
    console.log(line);
    this.#append("log", line);
  }

  /** As {@linkcode log}, for what is not a result: the line goes to stderr. */
  note(line: string): void {
    console.error(line);
    this.#append("log", line);
  }

  /** Adds a line to `metrics.jsonl`. */
  metrics(values: Record<string, unknown>): void {
    this.#append("metrics", JSON.stringify(values));
  }

  /** Bytes of each file so far. */
  written(): Record<RunFile, number> {
    return {
      log: this.#files.log.statSync().size,
      metrics: this.#files.metrics.statSync().size,
    };
  }

  /** Cuts off what was written after a checkpoint. */
  rewind(written: Record<string, number>): void {
    for (const name of ["log", "metrics"] as const) {
      const size = this.#files[name].statSync().size;
      this.#files[name].truncateSync(Math.min(size, written[name] ?? size));
    }
  }

  /** Path of a file or folder in it. */
  join(name: string): string {
    return join(this.path, name);
  }

  /** Closes the files. */
  close(): void {
    for (const file of Object.values(this.#files)) file.close();
  }

  #append(file: RunFile, line: string): void {
    const bytes = new TextEncoder().encode(`${line}\n`);
    for (let done = 0; done < bytes.length;) {
      done += this.#files[file].writeSync(bytes.subarray(done));
    }
  }
}

/**
 * Makes a new run folder, `MODEL_PATH/<model>/<month, day, time>/`.
 *
 * @throws {Error} If it cannot be made.
 */
export function createRunFolder(modelPath: string, model: string, now: Date): RunFolder {
  const two = (n: number) => String(n).padStart(2, "0");
  const time = [
    now.getMonth() + 1,
    now.getDate(),
    now.getHours(),
    now.getMinutes(),
    now.getSeconds(),
  ]
    .map(two).join("");
  const base = join(modelPath, model.replaceAll(".", "_"));
  let path = join(base, time);
  // Two runs of one second get folders of their own.
  for (let copy = 2; existsSync(path); copy++) path = join(base, `${time}_${copy}`);
  try {
    Deno.mkdirSync(path, { recursive: true });
  } catch (cause) {
    throw new Error(`Cannot make run folder ${path}: ${(cause as Error).message}`, { cause });
  }
  return new RunFolder(path);
}

/**
 * Finds the run to resume: the given folder, or the newest below `modelPath` that has a checkpoint.
 *
 * @throws {Error} If there is none.
 */
export function findRun(modelPath: string, path: string): string {
  if (path !== "") {
    const run = existsSync(join(path, "trainer.json")) ? join(path, "..") : path;
    if (existsSync(join(run, "last")) || existsSync(join(run, "last.old"))) return run;
    throw new Error(`Cannot resume ${path}: there is no checkpoint "last" in it`);
  }
  const runs: { path: string; time: number }[] = [];
  for (const model of foldersIn(modelPath)) {
    for (const run of foldersIn(model)) {
      for (const last of ["last", "last.old"]) {
        const time = timeOf(join(run, last, "trainer.json"));
        if (time !== null) runs.push({ path: run, time });
      }
    }
  }
  runs.sort((a, b) => b.time - a.time);
  if (!runs[0]) throw new Error(`Cannot resume: no run under ${modelPath} has a checkpoint "last"`);
  return runs[0].path;
}

function foldersIn(path: string): string[] {
  if (!existsSync(path)) return [];
  return [...Deno.readDirSync(path)].filter(({ isDirectory }) => isDirectory)
    .map(({ name }) => join(path, name));
}

function timeOf(path: string): number | null {
  return existsSync(path) ? Deno.statSync(path).mtime?.getTime() ?? 0 : null;
}
