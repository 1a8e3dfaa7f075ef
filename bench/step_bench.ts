/**
 * The whole training step and the embedding of pictures: rate, kernels, host, memory.
 *
 * @module
 */
import { type Gpu, readTensor } from "../kernels/gpu.ts";
import type { ProfileRow } from "../kernels/plan.ts";
import type { ViTConfig } from "../model/config.ts";
import { createEmbedder, type Embedder } from "../model/embedder.ts";
import { trainingMemory } from "../model/memory.ts";
import { type Precision, uploadNetwork } from "../model/network.ts";
import { Trainables } from "../model/trainables.ts";
import { createTrainer, type StepResult, type Trainer } from "../model/trainer.ts";
import { checkClose, interleave, settled, summarise, wallTime } from "./measure.ts";
import {
  benchAdapter,
  benchBackbone,
  benchPixels,
  type StepOptions,
  trainerOptions,
  writeBatch,
} from "./model.ts";
import type { Cell, Report } from "./report.ts";

/** Options of {@linkcode benchStep}. */
export interface StepBenchOptions {
  config: ViTConfig;
  /** Side of an image in pixels. */
  size: number;
  /** Pairs a step; twice as many images are embedded. */
  pairs: number;
  rank: number;
  /** What is measured, in turns. */
  variants: readonly Pick<StepOptions, "precision" | "dropout" | "checkpointing">[];
  rounds: number;
}

/** One round of one variant. */
export interface StepSample {
  /** Milliseconds by step: from results to results, on a CPU adapter from pixels to result. */
  wall: number;
  /** Of the host until a step is queued; not measured for embeddings. */
  encode: number | null;
  /** GPU time of one step, by kernel. */
  rows: ProfileRow[];
  /** Of tensors on the GPU. */
  bytes: number;
  /** Of the device's textures: this work's, and what others before it have left. */
  textures: number;
  /** The same by formula; there is none for an embedder alone. */
  foreseen: number | null;
}

/** What a run left, to be checked before others like it are timed. */
export interface RunResults {
  /** `(images, dim)`. */
  embeddings: Float32Array;
  /** AdamW's first moments after a first step, a tenth of the gradients; null of an embedder. */
  moments: Float32Array | null;
}

/** Rows of the profile that are one line of the table. */
const GROUPS: readonly (readonly [name: string, labels: RegExp])[] = [
  ["LoRA", /^lora/],
  ["attention", /^attention/],
  ["linear", /^(attn|mlp|patch_embed)/],
  ["norm", /^layer_norm/],
  ["head, loss", /^(head|column_sum|normalise|info_nce)/],
  ["AdamW", /^(grad_stats|scaler|adamw)/],
  ["other", /^/],
];

/** Milliseconds by group, in the order of the table. */
export function groupTimes(rows: readonly ProfileRow[]): Map<string, number> {
  const times = new Map(GROUPS.map(([name]) => [name, 0]));
  for (const { label, ms } of rows) {
    const [name] = GROUPS.find(([, labels]) => labels.test(label))!;
    times.set(name, times.get(name)! + ms);
  }
  return times;
}

const COLUMNS = [
  ...["work", "precision", "dropout", "images", "images/s", "min ms", "median ms"],
  ...["kernel ms", "not kernel %", "encode ms", "GPU MiB", "by formula", "textures MiB"],
  ...["GFLOP/s", "GB", "GB/s", ...GROUPS.map(([name]) => `${name} ms`)],
];

/**
 * Prints the table `step`.
 *
 * @param agree Checks what every run gave, before the next ones are timed.
 */
export async function benchStep(
  gpu: Gpu,
  report: Report,
  { variants, rounds, ...rest }: StepBenchOptions,
  agree = agreement(),
): Promise<void> {
  const { config, size, pairs, rank } = rest;
  const row = report.table(
    "step",
    COLUMNS,
    `${config.name}, ${config.depth} blocks, ${size} px, r = ${rank}; GB is what kernels must move`,
  );
  const steps = variants.map((variant) => () =>
    sampleStep(gpu, { ...rest, ...variant }, (results) => agree(results, variant))
  );
  const precisions = [...new Set(variants.map(({ precision }) => precision))];
  const embeddings = precisions.map((precision) => () =>
    sampleEmbedding(gpu, { ...rest, precision }, (results) => agree(results, { dropout: 0 }))
  );
  const samples = await interleave(rounds, [...steps, ...embeddings]);

  const work = [
    ...variants.map(({ checkpointing, ...variant }) => ({
      name: checkpointing ? "step, checkpointing" : "step",
      ...variant,
    })),
    ...precisions.map((precision) => ({ name: "embedding", precision, dropout: 0 })),
  ];
  work.forEach(({ name, precision, dropout }, i) => {
    row([name, precision, dropout, 2 * pairs, ...cells(samples[i]!, 2 * pairs)]);
  });
}

/**
 * Checks that all runs agree with the first: what is stored, recomputed or rounded on the way changes
 * results by no more than rounding does. That the first is right is for the tests to show; here a
 * step that computes something else must not be timed.
 */
export function agreement(): (results: RunResults, variant: { dropout: number }) => void {
  let first: RunResults | null = null;
  return (results, { dropout }) => {
    first ??= results;
    // Masks of dropout move the embeddings by a third, and gradients by up to 0.4.
    checkClose(results.embeddings, first.embeddings, dropout > 0 ? 0.6 : 2e-2);
    if (!results.moments || !first.moments) return;
    const isSingle = first.moments.every((moment) => moment === 0);
    if (!isSingle) checkClose(results.moments, first.moments, dropout > 0 ? 0.6 : 5e-2);
    else if (results.moments.some((moment) => moment !== 0)) {
      throw new RangeError("it has gradients, though the loss of a single pair is 0");
    }
  };
}

function cells(runs: readonly StepSample[], images: number): Cell[] {
  const wall = summarise(runs.map((run) => run.wall));
  const best = runs.reduce((a, b) => a.wall <= b.wall ? a : b);
  const total = (field: "ms" | "flops" | "bytes") =>
    best.rows.reduce((sum, row) => sum + row[field], 0);
  const ms = total("ms");
  return [
    ...[1000 * images / wall.min, wall.min, wall.median, ms, 100 * (1 - ms / wall.min)],
    ...[best.encode, (best.bytes + best.textures) / MIB, best.foreseen && best.foreseen / MIB],
    ...[
      best.textures / MIB,
      total("flops") / ms / 1e6,
      total("bytes") / 1e9,
      total("bytes") / ms / 1e6,
    ],
    ...groupTimes(best.rows).values(),
  ];
}

const MIB = 2 ** 20;
const LR = 1e-4;
const MOST_HALVINGS = 16; // from 65536 to 1

/**
 * Makes a trainer, takes a step to warm up, and measures the next ones, which follow each other
 * without a pause as in training.
 *
 * On a CPU adapter a step takes seconds and two of them differ by more than the host's share: there
 * one step gives all times, and the two waits of 11 ms of the profile count as the host's.
 */
export async function sampleStep(
  gpu: Gpu,
  options: StepOptions,
  check: (results: RunResults) => void = () => {},
): Promise<StepSample> {
  const before = gpu.memory.current;
  const trainer = await createTrainer(gpu, trainerOptions(options));
  try {
    const bytes = gpu.memory.current - before;
    const queued = await firstStep(trainer, options);
    const { m } = await trainer.readState();
    check({ embeddings: await readTensor(gpu, trainer.embeddings), moments: m });
    const many = gpu.isCpu ? null : await timeSteps(trainer, options);
    let rows: ProfileRow[] = [];
    const profiled = await wallTime(async () => {
      writeBatch(trainer, options);
      rows = await trainer.profile(LR);
    });
    const { wall, encode } = many ?? { wall: profiled, encode: queued.ms };
    const foreseen = trainingMemory(gpu, { ...trainerOptions(options), evalImages: 0 }).total;
    const { textures } = gpu.memory;
    return { wall, encode, rows, bytes, textures, foreseen };
  } finally {
    trainer.destroy();
  }
}

/** Takes a step, again where f16 overflowed: the loss scale halves, weights stay. */
export async function firstStep(
  trainer: Trainer,
  options: Pick<StepOptions, "pairs" | "size">,
): Promise<{ ms: number }> {
  for (let halvings = 0;; halvings++) {
    const queued = queueStep(trainer, options);
    const results = await trainer.results();
    checkLosses(results);
    if (!results.some(({ skipped }) => skipped)) return queued;
    if (halvings === MOST_HALVINGS) {
      throw new RangeError(`Cannot time a step: ${halvings + 1} in a row overflowed`);
    }
  }
}

/** Queues a step as training does; `ms` are the host's, waiting included where it fetches. */
function queueStep(
  trainer: Trainer,
  options: Pick<StepOptions, "pairs" | "size">,
): { ms: number; isFetch: boolean; earlier: Promise<StepResult[]> } {
  const start = performance.now();
  writeBatch(trainer, options);
  const isFetch = trainer.full;
  const earlier = trainer.takeStep(LR, { fetch: isFetch });
  return { ms: performance.now() - start, isFetch, earlier };
}

/**
 * Takes steps without a pause, as a GPU wants to be timed.
 *
 * @returns Times of one step, from results to results.
 */
export async function timeSteps(
  trainer: Trainer,
  options: StepOptions,
): Promise<{ wall: number; encode: number | null }> {
  let last = performance.now();
  const best = await settled(async () => {
    const encodes: number[] = [];
    for (;;) {
      const { ms, isFetch, earlier } = queueStep(trainer, options);
      if (!isFetch) {
        encodes.push(ms);
        continue;
      }
      const results = await earlier;
      checkLosses(results);
      const now = performance.now();
      const wall = (now - last) / results.length;
      last = now;
      return { wall, encode: encodes.length > 0 ? summarise(encodes).median : null };
    }
  });
  checkLosses(await trainer.results());
  return best;
}

function checkLosses(results: readonly StepResult[]): void {
  for (const { loss } of results) {
    if (!Number.isFinite(loss)) throw new RangeError(`Cannot time a step: its loss is ${loss}`);
  }
}

/** Makes an embedder, embeds to warm up, and measures the next pictures. */
export async function sampleEmbedding(
  gpu: Gpu,
  { config, precision, size, pairs, rank }:
    & Pick<StepOptions, "config" | "size" | "pairs" | "rank">
    & { precision: Precision },
  check: (results: RunResults) => void = () => {},
): Promise<StepSample> {
  const before = gpu.memory.current;
  const images = 2 * pairs;
  const adapter = benchAdapter(config, { rank, dropout: 0 });
  const trainables = new Trainables(gpu, adapter, { training: false });
  const layout = { precision, height: size, width: size, merge: true };
  const network = uploadNetwork(gpu, benchBackbone(config), trainables, layout);
  const options = { network, trainables, pool: "avg", images } as const;
  const embedder = await createEmbedder(gpu, options);
  try {
    const bytes = gpu.memory.current - before;
    const pixels = benchPixels(images, size);
    check({ embeddings: await embedder.embed(pixels), moments: null });
    const many = gpu.isCpu ? null : await timeEmbeddings(embedder, pixels);
    let rows: ProfileRow[] = [];
    const profiled = await wallTime(async () => rows = await embedder.profile());
    const { wall } = many ?? { wall: profiled }; // as for a step
    const { textures } = gpu.memory;
    return { wall, encode: null, rows, bytes, textures, foreseen: null };
  } finally {
    embedder.destroy();
    network.destroy();
    trainables.destroy();
  }
}

/** Embeds without a pause; the time of a batch, from embeddings to embeddings. */
export async function timeEmbeddings(
  embedder: Embedder,
  pixels: Uint8Array,
): Promise<{ wall: number }> {
  async function* batches(): AsyncGenerator<Uint8Array> {
    for (;;) yield await Promise.resolve(pixels);
  }
  const embeddings = embedder.embedEach(batches());
  let last = performance.now();
  const best = await settled(async () => {
    await embeddings.next();
    const now = performance.now();
    const wall = now - last;
    last = now;
    return { wall };
  });
  await embeddings.return();
  return best;
}
