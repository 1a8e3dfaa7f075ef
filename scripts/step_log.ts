/**
 * What a run says about its steps, and when it gives up.
 *
 * @module
 */
import type { PairLoader } from "../data/loader.ts";
import type { Pair } from "../data/pairs.ts";
import type { RunProgress } from "../model/checkpoint.ts";
import type { StepResult, Trainer } from "../model/trainer.ts";
import { Progress } from "./progress.ts";
import type { RunFolder } from "./run_folder.ts";
import { smoothingOf, type TrainFlags } from "./train_flags.ts";

const SCREEN_MS = 500; // that the screen may be behind
const MAX_SKIPPED = 20; // in a row: the loss scale is then 2^-20 of where it was

/** Thrown where going on is no use, nor is starting again from a checkpoint. */
export class Diverged extends Error {}

/** What a {@linkcode StepLog} reads and writes. */
export interface StepLogOptions {
  flags: TrainFlags;
  pairs: readonly Pair[];
  trainer: Trainer;
  loader: PairLoader;
  folder: RunFolder;
  /** Its `losses` are added to. */
  state: RunProgress;
  /** Steps of the whole run. */
  total: number;
}

/** Fetches, checks and logs what became of the queued steps. */
export class StepLog {
  readonly #options: StepLogOptions;
  readonly #progress = new Progress("train");
  #batches: (readonly number[])[] = [];
  #since = performance.now();
  /** How long a step takes; before it is known, long enough to look after the first. */
  #stepMs = SCREEN_MS;

  constructor(options: StepLogOptions) {
    this.#options = options;
  }

  /** Remembers the pairs of a step that was queued. */
  queued(pairs: readonly number[]): void {
    this.#batches.push([...pairs]);
  }

  /** Starts the clock of the next steps, after work that is none of theirs. */
  restart(): void {
    this.#since = performance.now();
  }

  /** True when the screen is behind, or will be by the time the queued steps are done. */
  get isDue(): boolean {
    const waited = performance.now() - this.#since;
    return Math.max(waited, this.#batches.length * this.#stepMs) >= SCREEN_MS;
  }

  /**
   * Waits for the GPU and logs all steps.
   *
   * @throws {Diverged} If a loss or gradient is not finite and no loss scale can mend it.
   */
  async flush(): Promise<void> {
    await this.show(await this.#options.trainer.results());
  }

  /**
   * Logs steps, the oldest of those that were queued.
   *
   * @throws {Diverged} If a loss or gradient is not finite and no loss scale can mend it.
   */
  async show(results: readonly StepResult[]): Promise<void> {
    if (results.length === 0) return;
    const batches = this.#batches.splice(0, results.length);
    const now = performance.now();
    this.#stepMs = (now - this.#since) / results.length;
    this.#since = now;
    const rate = 2 * this.#options.flags.batch_size / this.#stepMs * 1000;
    for (const [i, result] of results.entries()) {
      this.#log(result, rate);
      await this.#check(result, batches[i]!);
      this.#count(result, rate);
    }
  }

  #log(result: StepResult, rate: number): void {
    this.#options.folder.metrics({
      step: result.step,
      epoch: this.#options.state.epoch,
      loss: result.loss,
      lr: result.lr,
      logit_scale: result.logitScale,
      grad_norm: result.gradNorm,
      skipped: result.skipped,
      loss_scale: result.lossScale,
      images_per_s: Number(rate.toFixed(3)),
    });
  }

  #count({ step, loss, lr }: StepResult, rate: number): void {
    const { state: { losses }, total } = this.#options;
    if (Number.isFinite(loss)) {
      losses.sum += loss;
      losses.count++;
    }
    const words = [
      `loss ${loss.toFixed(4)}`,
      `lr ${lr.toExponential(2)}`,
      `${rate.toFixed(1)} images/s`,
    ];
    this.#progress.show({ done: step + 1, total, words });
    if (step + 1 === total) this.#progress.end();
  }

  async #check(result: StepResult, batch: readonly number[]): Promise<void> {
    const { step, loss, skipped, skippedInARow, lossScale } = result;
    if (!skipped && Number.isFinite(loss)) return;
    const { folder, pairs, trainer } = this.#options;
    const isF16 = trainer.network.precision === "f16";
    if (isF16 && skipped && skippedInARow < MAX_SKIPPED) {
      return folder.note(`step ${step}: gradients overflowed, loss scale lowered to ${lossScale}`);
    }
    const entries = [...new Set(batch.map((pair) => pairs[pair]!.entry))].join(", ");
    folder.note(`step ${step} trained on entries ${entries}`);
    const gradient = await this.#largestGradient(step, batch);
    const message = `Cannot go on after step ${step}: loss ${loss}, ${skippedInARow} steps in a ` +
      `row without finite gradients, ${gradient}; start a new run with a lower --lr, ` +
      `or see the entries of the batch in ${folder.join("log.txt")}`;
    folder.record(message);
    throw new Diverged(message);
  }

  /**
   * Makes the batch and its gradients once more, as the optimiser leaves none behind. In f32 the
   * steps queued after this one may have moved the parameters meanwhile; a pair that comes again
   * within the epoch is augmented as the first time.
   */
  async #largestGradient(step: number, batch: readonly number[]): Promise<string> {
    const { trainer, loader, state, flags } = this.#options;
    for await (const { pixels, weights } of loader.batches(state.epoch, [batch])) {
      trainer.write(pixels, smoothingOf(weights, flags));
    }
    const sizes = [...await trainer.gradients(step)].map(([name, values]) => ({
      name,
      size: values.reduce((size, x) => isWorse(Math.abs(x), size) ? Math.abs(x) : size, 0),
    }));
    const worst = sizes.reduce((a, b) => isWorse(b.size, a.size) ? b : a);
    return `largest gradient ${worst.size} in ${worst.name}`;
  }
}

/** NaN is worse than infinity, which is worse than any number. */
function isWorse(size: number, than: number): boolean {
  return !(size <= than || Number.isNaN(than));
}
