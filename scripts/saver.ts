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
  #tried = performance.now();

  /** @param savedStep Steps taken up to the checkpoint that a resumed run goes on from, else null. */
  constructor(folder: RunFolder, trainer: Trainer, savedStep: number | null) {
    this.#folder = folder;
    this.#trainer = trainer;
    this.#savedStep = savedStep;
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
   * neither the others nor `last/` back, which does not count it among the best.
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
    const failure = await this.#writeWaiting();
    if (this.#waiting.has(FINAL)) throw failure;
    if (failure) this.#folder.note(`warning: ${failure.message}`);
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
    const failure = await this.#writeWaiting();
    const { progress } = checkpoint;
    progress.written = this.#folder.written();
    const best = Object.entries(progress.best)
      .filter(([source]) => !this.#waiting.has(folderName(bestName(source))));
    await saveCheckpoint(this.#folder.join("last"), {
      ...checkpoint,
      progress: { ...progress, best: Object.fromEntries(best) },
    });
    this.#savedStep = progress.step;
    if (failure) throw failure;
  }

  /**
   * Adapters and lines may take the room of the checkpoint before the last one.
   *
   * @returns Why the first one that still waits cannot be written, null if none waits.
   */
  async #writeWaiting(): Promise<Error | null> {
    const withRoom = (work: () => Promise<void>) => withRoomOf(this.#folder.join("last"), work);
    let failure: Error | null = null;
    for (const [name, adapter] of this.#waiting) {
      try {
        await withRoom(() => writeAdapter(this.#folder.join(name), adapter));
        this.#waiting.delete(name);
      } catch (error) {
        failure ??= error as Error;
      }
    }
    await withRoom(() => Promise.resolve(this.#folder.flush()));
    return failure;
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
