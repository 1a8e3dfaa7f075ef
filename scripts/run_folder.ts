/**
 * The folder of one training run: configuration, log, metrics, checkpoints.
 *
 * @module
 */
import { existsSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { bytesIn, oldFolder } from "../model/files.ts";
import { say } from "./progress.ts";

const FILES = { log: "log.txt", metrics: "metrics.jsonl" } as const;

/** Files that grow while a run goes on. */
export type RunFile = keyof typeof FILES;
const NAMES = Object.keys(FILES) as RunFile[];

/**
 * A run's folder, open for writing, by one process at a time.
 *
 * Lines that a full disk does not take wait in memory and are written with the next ones.
 */
export class RunFolder {
  readonly #files: Record<RunFile, Deno.FsFile>;
  readonly #waiting: Record<RunFile, Uint8Array[]> = { log: [], metrics: [] };
  #isFull = false;
  #isOpen = true;
  readonly path: string;

  /** @throws {Error} If another process has it open, or a file cannot be opened. */
  constructor(path: string) {
    this.path = path;
    const log = openToAppend(join(path, FILES.log));
    try {
      this.#files = { log, metrics: openToAppend(join(path, FILES.metrics)) };
    } catch (error) {
      log.close();
      throw error;
    }
    if (isLocked(this.#files.log)) {
      this.close();
      throw new Error(`Cannot write to run ${path}: another process writes to it`);
    }
  }

  /** Adds a line to the log and prints it. */
  log(line: string): void {
    this.record(line);
    say("stdout", line);
  }

  /** As {@linkcode log}, for what is not a result: the line goes to stderr. */
  note(line: string): void {
    this.record(line);
    say("stderr", line);
  }

  /** Adds a line to the log. */
  record(line: string): void {
    this.#append("log", line);
  }

  /** Adds a line to `metrics.jsonl`. */
  metrics(values: Record<string, unknown>): void {
    this.#append("metrics", JSON.stringify(values));
  }

  /**
   * Bytes of each file, which are then on the disk for good.
   *
   * @throws {Error} If lines wait that the disk does not take.
   */
  written(): Record<RunFile, number> {
    this.flush();
    for (const name of NAMES) this.#files[name].syncSync();
    return { log: bytesIn(this.#files.log), metrics: bytesIn(this.#files.metrics) };
  }

  /** Cuts off what was written after a checkpoint. */
  rewind(written: Record<string, number>): void {
    for (const name of NAMES) {
      const size = bytesIn(this.#files[name]);
      // By its path: Windows does not let a file shrink that is open to be appended to.
      Deno.truncateSync(this.join(FILES[name]), Math.min(size, written[name] ?? size));
    }
  }

  /**
   * Writes the lines that wait.
   *
   * @throws {Error} If the disk does not take them.
   */
  flush(): void {
    for (const name of NAMES) {
      const waiting = this.#waiting[name];
      try {
        for (let line = waiting[0]; line; line = waiting[0]) {
          const rest = line.subarray(this.#files[name].writeSync(line));
          if (rest.length > 0) waiting[0] = rest;
          else waiting.shift();
        }
      } catch (cause) {
        const path = this.join(FILES[name]);
        throw new Error(`Cannot write ${path}: ${(cause as Error).message}`, { cause });
      }
    }
  }

  /** Path of a file or folder in it. */
  join(name: string): string {
    return join(this.path, name);
  }

  /** Closes the files, if they are open. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    for (const file of Object.values(this.#files)) file.close();
  }

  #append(file: RunFile, line: string): void {
    this.#waiting[file].push(new TextEncoder().encode(`${line}\n`));
    try {
      this.flush();
      this.#isFull = false;
    } catch (error) { // hours of training are worth more than a line: it may be written later
      if (!this.#isFull) {
        say("stderr", `warning: ${(error as Error).message}; it is kept in memory`);
      }
      this.#isFull = true;
    }
  }
}

function openToAppend(path: string): Deno.FsFile {
  try {
    return Deno.openSync(path, { write: true, create: true, append: true });
  } catch (cause) {
    throw new Error(`Cannot write ${path}: ${(cause as Error).message}`, { cause });
  }
}

/** The lock goes with the process, however it ends. Some network file systems have no locks. */
function isLocked(file: Deno.FsFile): boolean {
  if (Deno.build.os === "windows") return false; // there nobody could read the log meanwhile
  try {
    return !file.tryLockSync(true);
  } catch {
    return false;
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
  let path: string;
  try {
    path = makeFolder(base, time);
  } catch (cause) {
    const message = `Cannot make run folder ${join(base, time)}: ${(cause as Error).message}`;
    throw new Error(message, { cause });
  }
  return new RunFolder(path);
}

/** Two runs of one second get folders of their own. */
function makeFolder(base: string, time: string): string {
  Deno.mkdirSync(base, { recursive: true });
  for (let copy = 1;; copy++) {
    const path = join(base, copy === 1 ? time : `${time}_${copy}`);
    try {
      Deno.mkdirSync(path);
      return path;
    } catch (error) {
      if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
    }
  }
}

/**
 * Finds the run to resume: the given folder, or the newest below `modelPath` that has a checkpoint.
 *
 * @throws {Error} If there is none.
 */
export function findRun(modelPath: string, path: string): string {
  if (path !== "") {
    const above = join(path, "..");
    const run = existsSync(join(path, "trainer.json")) ? above : path;
    const [last = "", old] = lastFolders(run);
    if (run === above && resolve(path) === resolve(old!) && existsSync(last)) {
      throw new Error(
        `Cannot resume ${path}: ${last} is newer and would be taken, ` +
          `move it away to go on from ${path}`,
      );
    }
    if (lastFolders(run).some(existsSync)) return run;
    const elsewhere = lastFolders(above).some(existsSync) ? `, give ${above}` : "";
    throw new Error(`Cannot resume ${path}: there is no checkpoint "last" in it${elsewhere}`);
  }
  const runs: { path: string; time: number }[] = [];
  for (const model of foldersIn(modelPath)) {
    for (const run of foldersIn(model)) {
      for (const last of lastFolders(run)) {
        const time = timeOf(join(last, "trainer.json"));
        if (time !== null) runs.push({ path: run, time });
      }
    }
  }
  runs.sort((a, b) => b.time - a.time);
  if (!runs[0]) throw new Error(`Cannot resume: no run under ${modelPath} has a checkpoint "last"`);
  return runs[0].path;
}

/** Where the checkpoint of a run is, and where the one before it. */
function lastFolders(run: string): string[] {
  const last = join(run, "last");
  return [last, oldFolder(last)];
}

function foldersIn(path: string): string[] {
  if (!existsSync(path)) return [];
  const isFolder = (path: string) => statSync(path, { throwIfNoEntry: false })?.isDirectory();
  return [...Deno.readDirSync(path)].map(({ name }) => join(path, name)).filter(isFolder); // or a link
}

function timeOf(path: string): number | null {
  return existsSync(path) ? Deno.statSync(path).mtime?.getTime() ?? 0 : null;
}
