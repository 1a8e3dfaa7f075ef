import { type Adapter, writeAdapter } from "../model/adapter.ts";
import { type Checkpoint, type RunProgress, saveCheckpoint } from "../model/checkpoint.ts";
import { withRoomOf } from "../model/files.ts";
import type { Trainer } from "../model/trainer.ts";
import type { RunFolder } from "./run_folder.ts";

const FINAL = "final";

/** Writes the checkpoints of a run. A disk that is full for a while costs it nothing. */
export class Saver {
  readonly #folder: RunFolder;
  readonly #trainer: Trainer;
  /** Adapters to be written, by folder. */
  readonly #waiting = new Map<string, Adapter>();
  #savedStep: number | null;
  /** Recalls of the best adapters that are written, by source. */
  #best: Readonly<Record<string, number>>;
  #tried = performance.now();

  /** @param saved What the checkpoint says that a resumed run goes on from, else null. */
  constructor(
    folder: RunFolder,
    trainer: Trainer,
    saved: Pick<RunProgress, "step" | "best"> | null,
  ) {
    this.#folder = folder;
    this.#trainer = trainer;
    this.#savedStep = saved && saved.step;
    this.#best = { ...saved?.best }; // the run goes on to change its own
  }

  /** Steps taken up to the newest checkpoint, null where there is none. */
  get savedStep(): number | null {
    return this.#savedStep;
  }

  /** Milliseconds since a save was last tried. */
  get age(): number {
    return performance.now() - this.#tried;
  }

  /**
   * Takes the adapter as it is now, to be written with the next checkpoint.
   *
   * @param name Of its folder; what some system does not allow in a name is written as `%3a`.
   */
  async keep(name: string): Promise<void> {
    this.#waiting.set(folderName(name), await this.#trainer.adapter());
  }

  /**
   * Writes the adapters that wait, then `last/`. One that cannot be written goes on waiting, and keeps
   * neither the others nor `last/` back, which knows the recall of what is written in its place.
   *
   * @throws {Error} If something could not be written; the next call tries again.
   */
  async write(state: RunProgress): Promise<void> {
    await this.#save(await this.#checkpoint(state));
  }

  /**
   * As {@linkcode write}, but a failure is only a warning.
   *
   * @throws {Error} If the GPU fails.
   */
  async tryWrite(state: RunProgress): Promise<void> {
    const checkpoint = await this.#checkpoint(state);
    try {
      await this.#save(checkpoint);
    } catch (error) {
      this.#folder.note(
        `warning: cannot save after ${state.step} steps: ${(error as Error).message}; ` +
          `training goes on, ${this.#savedStep ?? 0} steps are saved`,
      );
    }
  }

  /**
   * Writes `final/`, and all that still waits.
   *
   * @throws {Error} If `final/` cannot be written.
   */
  async finish(): Promise<void> {
    await this.keep(FINAL);
    const failures = await this.#writeWaiting();
    const failure = failures.get(FINAL);
    if (failure) throw failure;
    for (const { message } of failures.values()) this.#folder.note(`warning: ${message}`);
    this.#folder.note(`finished: ${this.#folder.join(FINAL)}`);
    this.#folder.flush();
  }

  async #checkpoint(progress: RunProgress): Promise<Checkpoint> {
    this.#tried = performance.now();
    return {
      adapter: await this.#trainer.adapter(),
      optimiser: await this.#trainer.readState(),
      progress,
    };
  }

  async #save(checkpoint: Checkpoint): Promise<void> {
    const failures = await this.#writeWaiting();
    const { progress } = checkpoint;
    progress.written = this.#folder.written();
    const isWritten = ([source]: [string, number]) =>
      !this.#waiting.has(folderName(bestName(source)));
    const best = {
      ...this.#best,
      ...Object.fromEntries(Object.entries(progress.best).filter(isWritten)),
    };
    await saveCheckpoint(this.#folder.join("last"), {
      ...checkpoint,
      progress: { ...progress, best },
    });
    this.#best = best;
    this.#savedStep = progress.step;
    for (const failure of failures.values()) throw failure;
  }

  /**
   * Adapters and lines may take the room of the checkpoint before the last one.
   *
   * @returns Why those that still wait cannot be written, by folder.
   */
  async #writeWaiting(): Promise<Map<string, Error>> {
    const withRoom = (work: () => Promise<void>) => withRoomOf(this.#folder.join("last"), work);
    const failures = new Map<string, Error>();
    for (const [name, adapter] of this.#waiting) {
      try {
        await withRoom(() => writeAdapter(this.#folder.join(name), adapter));
        this.#waiting.delete(name);
      } catch (error) {
        failures.set(name, error as Error);
      }
    }
    await withRoom(() => Promise.resolve(this.#folder.flush()));
    return failures;
  }
}

/** Folder of the adapter with the best recall on a source, or overall. */
export function bestName(source: string): string {
  return `best_${source}`;
}

function folderName(name: string): string {
  const hex = (byte: number) => `%${byte.toString(16).padStart(2, "0")}`;
  return name.replaceAll(
    /[^\p{L}\p{N} ._-]|[ .]$/gu,
    (letter) => Array.from(new TextEncoder().encode(letter), hex).join(""),
  );
}
