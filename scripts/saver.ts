import { type Adapter, writeAdapter } from "../model/adapter.ts";
import { type Checkpoint, type RunProgress, saveCheckpoint } from "../model/checkpoint.ts";
import { withRoomOf } from "../model/files.ts";
import type { Trainer } from "../model/trainer.ts";
import type { RunFolder } from "./run_folder.ts";

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
   * Writes the adapters that wait, then `last/`: whoever resumes from it misses none.
   *
   * @throws {Error} If something cannot be written; the next call tries again.
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
   * @throws {Error} If something cannot be written.
   */
  async finish(): Promise<void> {
    await this.keep("final");
    await this.#writeWaiting();
    this.#folder.note(`finished: ${this.#folder.join("final")}`);
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
    await this.#writeWaiting();
    checkpoint.progress.written = this.#folder.written();
    await saveCheckpoint(this.#folder.join("last"), checkpoint);
    this.#savedStep = checkpoint.progress.step;
  }

  /** Adapters and lines may take the room of the checkpoint before the last one. */
  async #writeWaiting(): Promise<void> {
    await withRoomOf(this.#folder.join("last"), async () => {
      for (const [name, adapter] of this.#waiting) {
        await writeAdapter(this.#folder.join(name), adapter);
        this.#waiting.delete(name);
      }
      this.#folder.flush();
    });
  }
}

function folderName(name: string): string {
  const hex = (byte: number) => `%${byte.toString(16).padStart(2, "0")}`;
  return name.replaceAll(
    /[^\p{L}\p{N} ._-]|[ .]$/gu,
    (letter) => Array.from(new TextEncoder().encode(letter), hex).join(""),
  );
}
