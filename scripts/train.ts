/**
 * Trains LoRA adapters and a head on pairs of drone photos and reference pictures.
 *
 *     deno task train --train_pairs_meta_file train.json --test_pairs_meta_file test.json \
 *       --data_root data --with_weight
 *
 * @module
 */
import { checkRoots } from "../data/check_pictures.ts";
import { pairsOf } from "../data/pairs.ts";
import { previewSheet } from "../data/preview.ts";
import { closeGpu, openGpu } from "../kernels/gpu.ts";
import { startTuning } from "../kernels/tune.ts";
import { type Adapter, readAdapter } from "../model/adapter.ts";
import { type Checkpoint, recoverCheckpoint } from "../model/checkpoint.ts";
import { writeFileAtomic } from "../model/files.ts";
import { readBackbone } from "../model/hub.ts";
import { parseFlags, runScript } from "./cli.ts";
import { drawEpochs, roomWarnings, samplerOf } from "./epochs.ts";
import { picturesOf, protocolOf } from "./evaluation.ts";
import { hostOf, readEntries } from "./flags.ts";
import { adapterWarning } from "./inference.ts";
import { checkShape, flagsOfAdapter, startOf } from "./init_adapter.ts";
import { checkDigests, digestsOf } from "./inputs.ts";
import { keepLayouts, layoutsFile, readLayouts } from "./layouts.ts";
import { folderOf, keepOnly, keepReading, rootsOf } from "./permissions.ts";
import { prepareTraining } from "./prepare.ts";
import { createRunFolder, findRun, RunFolder } from "./run_folder.ts";
import {
  augmentSettings,
  checkNewRun,
  checkSame,
  checkTrainFlags,
  dataWarnings,
  TRAIN_FLAGS,
  type TrainFlags,
  withStored,
} from "./train_flags.ts";
import { type Run, runTraining } from "./training.ts";

/** What it is called and does. */
export const COMMAND = {
  name: "train",
  summary: "trains LoRA adapters and a head on picture pairs",
};

/** Runs the command. */
export async function main(args: string[]): Promise<void> {
  const start = await readFlags(args);
  try {
    await train(start);
  } finally {
    start.resumed?.folder.close();
  }
}

async function train({ flags, resumed, init }: Start): Promise<void> {
  checkTrainFlags(flags);
  if (!resumed) checkNewRun(flags);
  await keepOnly({
    write: [resumed?.folder.path ?? flags.model_path, folderOf(layoutsFile())],
    pictures: true,
    gpu: flags.gpu,
  });
  const reading = { dataRoot: flags.data_root, allowOutsideRoot: flags.allow_outside_root };
  const entries = await readEntries(flags.train_pairs_meta_file, reading);
  const pairs = pairsOf(entries, flags.train_mode);
  const test = flags.test_pairs_meta_file;
  const testEntries = test === null ? null : await readEntries(test, reading);
  const protocol = testEntries && protocolOf(testEntries, flags);
  const augment = await augmentSettings(flags);
  const backbone = await readBackbone(flags);
  const { config } = backbone;
  const start = resumed?.checkpoint.adapter ?? startOf(flags, config, init);
  const inputs = digestsOf({ entries, testEntries, augment, backbone });
  if (resumed) checkDigests(inputs, resumed.checkpoint.progress.inputs);
  const pictures = [
    ...pairs.flatMap(({ query, reference }) => [query, reference]),
    ...protocol ? picturesOf(protocol) : [],
  ];
  checkRoots(pictures);
  keepReading(rootsOf(pictures, flags.allow_outside_root));
  const epochs = drawEpochs({ flags, pairs, entries });

  const level = flags.tune;
  const answers = await readLayouts(level);
  const gpu = await openGpu(hostOf(flags));
  startTuning(gpu, { level, answers });
  try {
    const pool = flags.global_pool;
    const { weights } = inputs;
    const input = { imgSize: flags.img_size, pool, depth: config.depth, weights };
    const adapter = { ...start, input };
    const { trainer, embedder } = await prepareTraining(gpu, {
      flags,
      backbone,
      adapter,
      evaluates: protocol !== null,
    });
    await keepLayouts(answers);
    const { network, trainables } = trainer;
    if (resumed) trainer.writeState(resumed.checkpoint.optimiser);

    const progress = resumed && resumed.checkpoint.progress;
    const folder = resumed?.folder ??
      createRunFolder(flags.model_path, config.name, new Date());
    try {
      if (progress) folder.rewind(progress.written);
      if (resumed?.damage) {
        folder.note(
          `warning: ${resumed.damage}; the checkpoint before it takes its place, ` +
            "it is kept as last.damaged",
        );
      }
      folder.note(
        `adapter: ${gpu.name}${gpu.isCpu ? " (software, slow)" : ""}, ${network.precision}`,
      );
      folder.note(`data: ${entries.length} entries, ${pairs.length} pairs`);
      const unfit = init && adapterWarning(init, backbone);
      const warnings = [
        ...unfit ? [unfit] : [],
        ...roomWarnings(epochs, { flags, pairs, entries }),
        ...dataWarnings(flags, { entries, pairs, augment }),
      ];
      for (const line of warnings) folder.note(`warning: ${line}`);
      folder.note(
        `trained: ${trainables.count.toLocaleString("en")} parameters, GPU memory: ` +
          `${(gpu.memory.peak / 2 ** 20).toFixed(0)} MiB, run: ${folder.path}`,
      );
      const run = {
        gpu,
        flags: { ...flags, precision: network.precision }, // auto may be another one elsewhere
        pairs,
        entries,
        epochs,
        protocol,
        augment,
        inputs,
        trainer,
        embedder,
        folder,
        progress,
      };
      if (flags.preview !== null) await writePreview(run, flags.preview);
      await runTraining(run);
    } finally {
      folder.close();
    }
  } finally {
    closeGpu(gpu);
  }
}

/** Writes the first pairs of the first epoch as the model sees them. */
async function writePreview(run: Run, count: number): Promise<void> {
  const { pairs, flags, augment, folder } = run;
  const { batches } = samplerOf(run).nextEpoch();
  const options = { pairs, imgSize: flags.img_size, seed: flags.seed, augment };
  const sheet = { indices: batches.flat().slice(0, count), epoch: 0 };
  await writeFileAtomic(folder.join("preview.png"), await previewSheet(options, sheet));
  folder.note(`preview: ${folder.join("preview.png")}`);
}

/** A run to go on with. */
interface Resumed {
  folder: RunFolder;
  checkpoint: Checkpoint;
  /** What was wrong with the newest checkpoint, or null. */
  damage: string | null;
}

/** How a run begins. */
interface Start {
  flags: TrainFlags;
  /** Null for a new run. */
  resumed: Resumed | null;
  /** Where a new run starts from, null for random numbers. */
  init: Adapter | null;
}

/** Flags of the command line, and the run or the adapter that the others are taken from. */
async function readFlags(args: string[]): Promise<Start> {
  const isResumed = args.some((arg) => arg === "--resume" || arg.startsWith("--resume="));
  if (!isResumed) {
    const given = parseFlags(COMMAND, TRAIN_FLAGS, args);
    if (given.init_adapter === null) return { flags: given, resumed: null, init: null };
    const init = await readAdapter(given.init_adapter);
    const flags = parseFlags(COMMAND, withStored(flagsOfAdapter(init)), args);
    checkShape(flags, init);
    return { flags, resumed: null, init };
  }
  const { train_pairs_meta_file: file } = TRAIN_FLAGS;
  const lenient = { ...TRAIN_FLAGS, train_pairs_meta_file: { ...file, required: false } };
  const { resume, model_path } = parseFlags(COMMAND, lenient, args);
  const path = findRun(model_path, resume === "newest" ? "" : resume!);
  const folder = new RunFolder(path); // from here on no other process may write to it
  try {
    const { checkpoint, damage } = await recoverCheckpoint(folder.join("last"));
    const stored = checkpoint.progress.flags;
    const given = parseFlags(COMMAND, withStored(stored), args);
    // The run knows what auto was: a command that spells it out is the same command.
    const isAuto = given.precision === "auto";
    const precision = stored.precision as TrainFlags["precision"]; // it was a flag's
    const flags = isAuto ? { ...given, precision } : given;
    checkSame(flags, stored);
    return { flags, resumed: { folder, checkpoint, damage }, init: null };
  } catch (error) {
    folder.close();
    throw error;
  }
}

if (import.meta.main) await runScript(main);
