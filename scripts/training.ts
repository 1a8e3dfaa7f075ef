/**
 * The training loop: epochs, steps, evaluation, checkpoints, and an orderly end.
 *
 * @module
 */
import { existsSync } from "node:fs";
import type { AugmentSettings } from "../data/augment_settings.ts";
import { createPairLoader, type PairLoader } from "../data/loader.ts";
import { resultLines } from "../eval/lines.ts";
import type { Protocol } from "../eval/protocol.ts";
import type { Gpu } from "../kernels/gpu.ts";
import type { RunProgress } from "../model/checkpoint.ts";
import type { Embedder } from "../model/embedder.ts";
import { oldFolder, writeFileAtomic } from "../model/files.ts";
import { scheduleFactor } from "../model/schedule.ts";
import type { Trainer } from "../model/trainer.ts";
import { Exit, PROGRAM } from "./cli.ts";
import { type BatchSource, type Epochs, samplerOf } from "./epochs.ts";
import { evaluateWith } from "./evaluation.ts";
import { writeRunReport } from "./report.ts";
import type { RunFolder } from "./run_folder.ts";
import { bestName, Saver } from "./saver.ts";
import { Diverged, StepLog } from "./step_log.ts";
import { listenForStop } from "./stop.ts";
import { smoothingOf } from "./train_flags.ts";

/** A run, ready to start or to go on; `flags.precision` is the one that it computes with. */
export interface Run extends BatchSource {
  gpu: Gpu;
  /** What its sampler will draw. */
  epochs: Epochs;
  /** Null: train without evaluation. */
  protocol: Protocol | null;
  augment: AugmentSettings | null;
  /** Digests of what it learns from. */
  inputs: Record<string, string>;
  trainer: Trainer;
  embedder: Embedder | null;
  folder: RunFolder;
  /** Where a resumed run is, null for a new one. */
  progress: RunProgress | null;
}

const SAVE_MS = 600_000;

/**
 * Trains to the end.
 *
 * @throws {Diverged} If a loss or gradient is not finite and no loss scale can mend it.
 * @throws {Exit} If a signal asked to stop: the run is saved.
 * @throws {Error} If the GPU, the pictures or the disk make it impossible to go on or to finish; the
 *   message ends with how to resume.
 */
export async function runTraining(run: Run): Promise<void> {
  const { flags, folder, trainer, pairs, augment, gpu, epochs } = run;
  const total = Math.min(flags.max_steps ?? Infinity, epochs.batches);
  // Whoever resumes it again need not say anew what was said when it was resumed.
  const state = run.progress ? { ...run.progress, flags: run.flags } : beginning(run);
  const saver = new Saver(folder, trainer, run.progress);
  const loader = createPairLoader({
    pairs,
    imgSize: flags.img_size,
    numWorkers: flags.num_workers,
    seed: flags.seed,
    augment,
    onWarning: (line) => folder.note(`warning: ${line}`),
  });
  const stop = listenForStop();
  try {
    const log = new StepLog({ flags, pairs, trainer, loader, folder, state, total });
    try {
      if (run.progress) {
        folder.note(`resumed after ${state.step} of ${total} steps`);
      } else {
        await writeConfig(run);
        await saver.write(state); // a disk that is full now is the user's to clear
      }
      await trainEpochs(run, { state, saver, log, loader, total, signal: stop.signal });
      await saver.finish();
    } catch (error) {
      if (error instanceof Diverged) {
        throw new Diverged(`${error.message}${whatIsOlder(run, saver)}`, { cause: error });
      }
      if (error instanceof Exit) {
        throw new Exit(error.code, `Stopped after ${state.step} steps; ${whatIsSaved(run, saver)}`);
      }
      const reason = (error as Error).message;
      folder.record(`error: ${reason}`);
      if (gpu.failure === null && saver.savedStep !== null && saver.savedStep !== state.step) {
        await log.flush().then(() => saver.tryWrite(state)).catch(() => {}); // the first error counts
      }
      throw new Error(`${reason}; ${whatIsSaved(run, saver)}`, { cause: error });
    }
  } finally {
    stop.close();
    await loader.close();
  }
}

/** What {@linkcode trainEpochs} works with. */
interface Work {
  state: RunProgress;
  saver: Saver;
  log: StepLog;
  loader: PairLoader;
  /** Steps of the whole run. */
  total: number;
  /** Aborted to stop after a step. */
  signal: AbortSignal;
}

async function trainEpochs(run: Run, work: Work): Promise<void> {
  const { flags, folder, trainer, protocol, epochs } = run;
  const { state, saver, log, loader, total, signal } = work;
  const warmup = flags.warmup_epochs * epochs.batches / flags.epochs;
  const schedule = { schedule: flags.scheduler, warmup, total };
  if (warmup >= total && state.step === 0) {
    folder.note(
      `warning: the warm-up takes ${Math.ceil(warmup)} steps and the run ${total}: --lr is never ` +
        "reached, lower --warmup_epochs",
    );
  }
  const sampler = samplerOf(run, state.sampler);
  if (state.step === 0 && !flags.no_zero_shot) await evaluateRun(run, work, 0);

  while (state.epoch < flags.epochs && (trainer.step < total || state.batch > 0)) {
    state.sampler = sampler.state();
    const { batches, carried } = sampler.nextEpoch();
    if (carried > 0) {
      folder.note(`epoch ${state.epoch + 1}: ${carried} pairs are carried into the next epoch`);
    }
    const order = batches.slice(0, state.batch + total - trainer.step);
    log.restart(); // after an evaluation
    for await (const batch of loader.batches(state.epoch, order, state.batch)) {
      trainer.write(batch.pixels, smoothingOf(batch.weights, flags));
      const lr = flags.lr * scheduleFactor(trainer.step, schedule);
      const earlier = trainer.takeStep(lr, { fetch: trainer.full || log.isDue });
      log.queued(batch.pairs);
      state.batch++;
      state.step = trainer.step;
      await log.show(await earlier);
      if (signal.aborted) break;
      const due = flags.save_every === null
        ? saver.age > SAVE_MS
        : trainer.step % flags.save_every === 0;
      if (due) {
        await log.flush();
        await saver.tryWrite(state);
        log.restart();
      }
    }
    await log.flush();
    // An evaluation may take longer than the epoch did.
    if (signal.aborted || protocol) await saver.tryWrite(state);
    signal.throwIfAborted();
    const loss = state.losses.sum / state.losses.count;
    folder.log(`Epoch: ${state.epoch + 1}, Train Loss = ${loss.toFixed(4)}`);
    await evaluateRun(run, work, state.epoch + 1);
    state.epoch++;
    state.batch = 0;
    state.losses = { sum: 0, count: 0 };
    state.sampler = sampler.state();
    await saver.tryWrite(state);
    signal.throwIfAborted();
  }
}

/** Where a run begins. */
function beginning(run: Run): RunProgress {
  return {
    step: 0,
    epoch: 0,
    batch: 0,
    sampler: samplerOf(run).state(),
    best: {},
    losses: { sum: 0, count: 0 },
    written: {},
    flags: { ...run.flags },
    inputs: run.inputs,
  };
}

/** All that the run was told, and the adapter it runs on. */
function configOf({ flags, augment, gpu }: Run): Record<string, unknown> {
  return { ...flags, augment_settings: augment, adapter: gpu.name };
}

async function writeConfig(run: Run): Promise<void> {
  const text = JSON.stringify(configOf(run), null, 2) + "\n";
  await writeFileAtomic(run.folder.join("config.json"), text);
}

/**
 * Evaluates after `epoch` epochs, and keeps the adapter of each source that did better than ever.
 *
 * One that fails, as a test picture cannot be read, stops a run that has not begun; a run that has
 * learned goes on without it.
 *
 * @throws {Exit} If a signal asked to stop.
 * @throws {Error} If the GPU failed, or nothing was trained yet.
 */
async function evaluateRun(
  run: Run,
  { state, saver, loader: { pool }, signal }: Work,
  epoch: number,
): Promise<void> {
  const { gpu, embedder, protocol, folder, flags } = run;
  if (!embedder || !protocol) return;
  if (state.step === 0) folder.note("zero-shot:");
  embedder.refresh();
  const reading = { imgSize: flags.img_size, numWorkers: flags.num_workers, pool, signal };
  const evaluated = await evaluateWith({ gpu, embedder }, protocol, reading).catch((error) => {
    if (state.step === 0 || signal.aborted || gpu.failure !== null) throw error;
    folder.note(`warning: no evaluation after epoch ${epoch}: ${error.message}`);
    return null;
  });
  if (evaluated === null) return;
  const { metrics } = evaluated.evaluation;
  for (const line of resultLines(metrics)) folder.log(line);
  folder.metrics({ step: state.step, epoch, metrics });
  await writeRunReport(folder, { config: configOf(run), evaluation: evaluated, seed: flags.seed });
  for (const [source, { "R@1": recall }] of Object.entries(metrics)) {
    // An untrained adapter is no checkpoint.
    if (state.step === 0 || recall === null || !(recall > (state.best[source] ?? -1))) continue;
    state.best[source] = recall;
    await saver.keep(bestName(source));
  }
}

/** Where parameters are that may be better than the last ones: these may be what diverged. */
function whatIsOlder({ folder }: Run, { savedStep }: Saver): string {
  if (!existsSync(oldFolder(folder.join("last")))) return "";
  return `; last/ is from after ${savedStep} steps, last.old/ from the save before: move last/ away to resume that`;
}

/** What a stopped run can go on from, and how. */
function whatIsSaved({ folder: { path } }: Run, { savedStep }: Saver): string {
  if (savedStep === null) return "nothing is saved yet";
  const quoted = /\s/.test(path) ? `"${path}"` : path;
  return `saved after ${savedStep} steps, go on with: ${PROGRAM} train --resume ${quoted}`;
}
