/**
 * The training loop: epochs, steps, evaluation, checkpoints, and an orderly end.
 *
 * @module
 */
import type { AugmentSettings } from "../data/augment_settings.ts";
import { createPairLoader } from "../data/loader.ts";
import type { Entry, Pair } from "../data/pairs.ts";
import { createSampler, type Sampler, type Sampling } from "../data/sampler.ts";
import { resultLines } from "../eval/lines.ts";
import type { Protocol } from "../eval/protocol.ts";
import type { Gpu } from "../kernels/gpu.ts";
import { writeAdapter } from "../model/adapter.ts";
import { type RunProgress, saveCheckpoint } from "../model/checkpoint.ts";
import type { Embedder } from "../model/embedder.ts";
import { writeFileAtomic } from "../model/files.ts";
import { type Schedule, scheduleFactor } from "../model/schedule.ts";
import type { StepResult, Trainer } from "../model/trainer.ts";
import { Exit } from "./cli.ts";
import { evaluateWith } from "./evaluation.ts";
import { Progress } from "./progress.ts";
import type { RunFolder } from "./run_folder.ts";
import { smoothingOf, type TrainFlags } from "./train_flags.ts";

/** A run, ready to start or to go on. */
export interface Run {
  gpu: Gpu;
  flags: TrainFlags;
  pairs: readonly Pair[];
  entries: readonly Entry[];
  /** Null: train without evaluation. */
  protocol: Protocol | null;
  augment: AugmentSettings | null;
  trainer: Trainer;
  embedder: Embedder | null;
  folder: RunFolder;
  /** Where a resumed run is, null for a new one. */
  progress: RunProgress | null;
}

const SAVE_MS = 600_000;
const MAX_SKIPPED = 20; // in a row: the loss scale is then 2^-20 of where it was

/**
 * Trains to the end.
 *
 * @throws {Error} If the loss is not finite, or too many pictures cannot be decoded.
 * @throws {Exit} If a signal asked to stop: the run is saved.
 */
export async function runTraining(run: Run): Promise<void> {
  const { flags, folder, trainer, pairs, augment } = run;
  const loader = createPairLoader({
    pairs,
    imgSize: flags.img_size,
    numWorkers: flags.num_workers,
    seed: flags.seed,
    augment,
    onWarning: (line) => folder.note(`warning: ${line}`),
  });
  const stop = listenForSignals();
  try {
    const state = run.progress ?? await start(run);
    if (run.progress) {
      folder.rewind(state.written);
      folder.note(`resumed at step ${state.step} of epoch ${state.epoch + 1}`);
    }
    const sampler = samplerOf(run, state.sampler);
    const lengths = epochLengths(run);
    const total = Math.min(flags.max_steps ?? Infinity, lengths.reduce((sum, n) => sum + n, 0));
    const warmup = flags.warmup_epochs * lengths[0]!;
    const schedule = { schedule: flags.scheduler as Schedule, warmup, total };
    const log = new StepLog(run, state, total);
    let saved = performance.now();
    const save = async () => {
      await log.flush();
      await saveLast(run, state);
      saved = performance.now();
    };

    while (state.epoch < flags.epochs && trainer.step < total) {
      state.sampler = sampler.state();
      const { batches, carried } = sampler.nextEpoch();
      if (carried > 0) {
        folder.note(`epoch ${state.epoch + 1}: ${carried} pairs are carried into the next epoch`);
      }
      for await (const batch of loader.batches(state.epoch, batches, state.batch)) {
        if (trainer.full) await log.flush();
        trainer.write(batch.pixels, smoothingOf(batch.weights, flags));
        trainer.takeStep(flags.lr * scheduleFactor(trainer.step, schedule));
        log.queued(batch.pairs);
        state.batch++;
        state.step = trainer.step;
        if (log.isDue) await log.flush();
        if (stop.code !== null || trainer.step >= total) break;
        const due = flags.save_every === null
          ? performance.now() - saved > SAVE_MS
          : trainer.step % flags.save_every === 0;
        if (due) await save();
      }
      await log.flush();
      if (stop.code !== null) {
        await save();
        throw new Exit(
          stop.code,
          `Stopped at step ${state.step}, go on with --resume ${folder.path}`,
        );
      }
      const loss = state.losses.sum / state.losses.count;
      folder.log(`Epoch: ${state.epoch + 1}, Train Loss = ${loss.toFixed(4)}`);
      state.epoch++;
      state.batch = 0;
      state.losses = { sum: 0, count: 0 };
      state.sampler = sampler.state();
      await evaluateRun(run, state);
      await save();
    }
    await writeAdapter(folder.join("final"), await trainer.adapter());
    folder.note(`finished: ${folder.join("final")}`);
  } finally {
    stop.close();
    await loader.close();
  }
}

/** Writes the configuration and evaluates before the first step. */
async function start(run: Run): Promise<RunProgress> {
  const { flags, folder } = run;
  const config = { ...flags, augment_settings: run.augment, adapter: run.gpu.name };
  await writeFileAtomic(folder.join("config.json"), JSON.stringify(config, null, 2) + "\n");
  const state: RunProgress = {
    step: 0,
    epoch: 0,
    batch: 0,
    sampler: samplerOf(run).state(),
    best: {},
    losses: { sum: 0, count: 0 },
    written: {},
    flags: { ...flags },
  };
  if (run.protocol && !flags.no_zero_shot) {
    folder.note("zero-shot:");
    await evaluateRun(run, state);
    state.best = {}; // an untrained adapter is no checkpoint
  }
  return state;
}

export function samplerOf({ flags, pairs, entries }: Run, state?: RunProgress["sampler"]): Sampler {
  return createSampler({
    pairs,
    entries,
    batchSize: flags.batch_size,
    sampling: flags.sampling as Sampling,
    seed: flags.seed,
    ...(state && { state }),
  });
}

/** Batches of every epoch: the schedule must know them all before the first step. */
function epochLengths(run: Run): number[] {
  const sampler = samplerOf(run);
  return Array.from({ length: run.flags.epochs }, () => sampler.nextEpoch().batches.length);
}

/** Evaluates, prints, and keeps the adapter of each source that did better than ever. */
async function evaluateRun(run: Run, state: RunProgress): Promise<void> {
  const { gpu, embedder, protocol, folder, flags, trainer } = run;
  if (!embedder || !protocol) return;
  embedder.refresh();
  const reading = { imgSize: flags.img_size, numWorkers: flags.num_workers };
  const { metrics } = await evaluateWith(gpu, embedder, protocol, reading);
  for (const line of resultLines(metrics)) folder.log(line);
  folder.metrics({ step: state.step, epoch: state.epoch, metrics });
  for (const [source, { "R@1": recall }] of Object.entries(metrics)) {
    if (state.step === 0 || recall === null || !(recall > (state.best[source] ?? -1))) continue;
    state.best[source] = recall;
    await writeAdapter(folder.join(`best_${source}`), await trainer.adapter());
  }
}

async function saveLast({ folder, trainer }: Run, state: RunProgress): Promise<void> {
  state.written = folder.written();
  await saveCheckpoint(folder.join("last"), {
    adapter: await trainer.adapter(),
    optimiser: await trainer.readState(),
    progress: state,
  });
}

/** Fetches, checks and logs what became of the queued steps. */
class StepLog {
  readonly #run: Run;
  readonly #state: RunProgress;
  readonly #total: number;
  readonly #progress = new Progress("train");
  #batches: (readonly number[])[] = [];
  #flushed = performance.now();

  constructor(run: Run, state: RunProgress, total: number) {
    this.#run = run;
    this.#state = state;
    this.#total = total;
  }

  /** Remembers the pairs of a step that was queued. */
  queued(pairs: readonly number[]): void {
    this.#batches.push([...pairs]);
  }

  /** True when the screen is behind by so much that waiting for the GPU is worth it. */
  get isDue(): boolean {
    return performance.now() - this.#flushed > 500;
  }

  /**
   * Waits for the GPU and logs all steps.
   *
   * @throws {Error} If a loss or gradient is not finite and no loss scale can mend it.
   */
  async flush(): Promise<void> {
    const batches = this.#batches.splice(0);
    if (batches.length === 0) return;
    const results = await this.#run.trainer.results();
    const now = performance.now();
    const images = results.length * 2 * this.#run.flags.batch_size;
    const rate = images / (now - this.#flushed) * 1000;
    this.#flushed = now;
    results.forEach((result, i) => this.#log(result, rate, batches[i]!));
  }

  #log(result: StepResult, rate: number, batch: readonly number[]): void {
    const { folder } = this.#run;
    const { step, loss, lr, logitScale } = result;
    folder.metrics({
      step,
      epoch: this.#state.epoch,
      loss,
      lr,
      logit_scale: logitScale,
      grad_norm: result.gradNorm,
      skipped: result.skipped,
      loss_scale: result.lossScale,
      images_per_s: Number(rate.toFixed(3)),
    });
    this.#check(result, batch);
    if (Number.isFinite(loss)) {
      this.#state.losses.sum += loss;
      this.#state.losses.count++;
    }
    const words = [
      `loss ${loss.toFixed(4)}`,
      `lr ${lr.toExponential(2)}`,
      `${rate.toFixed(1)} images/s`,
    ];
    this.#progress.show({ done: step + 1, total: this.#total, words });
    if (step + 1 === this.#total) this.#progress.end();
  }

  #check(
    { step, loss, skipped, skippedInARow, lossScale }: StepResult,
    batch: readonly number[],
  ): void {
    if (!skipped && Number.isFinite(loss)) return;
    const { folder, pairs, trainer } = this.#run;
    const isF16 = trainer.network.precision === "f16";
    if (isF16 && Number.isFinite(loss) && skippedInARow < MAX_SKIPPED) {
      return folder.note(`step ${step}: gradients overflowed, loss scale lowered to ${lossScale}`);
    }
    const entries = [...new Set(batch.map((pair) => pairs[pair]!.entry))].join(", ");
    folder.note(`step ${step} trained on entries ${entries}`);
    throw new Error(
      `Cannot go on after step ${step}: loss ${loss}, ${skippedInARow} steps in a row without ` +
        `finite gradients; lower --lr, or see the entries of the batch in ${
          folder.join("log.txt")
        }`,
    );
  }
}

/** Remembers the first signal to stop; the second one kills, as it would without us. */
function listenForSignals(): { code: number | null; close(): void } {
  const codes = { SIGINT: 130, SIGTERM: 143 } as const;
  const names = Object.keys(codes) as (keyof typeof codes)[];
  const handlers = names.map((name) => {
    const handler = () => {
      if (stop.code !== null) Deno.exit(stop.code);
      stop.code = codes[name];
      console.error(`\n${name}: finishing the step, saving ...`);
    };
    Deno.addSignalListener(name, handler);
    return [name, handler] as const;
  });
  const stop = {
    code: null as number | null,
    close() {
      for (const [name, handler] of handlers) Deno.removeSignalListener(name, handler);
    },
  };
  return stop;
}
