/**
 * Times: minimum and median of samples that take turns, and a kernel by timestamps.
 *
 * @module
 */
import { tickMs } from "../kernels/clock.ts";
import { type Gpu, settleGpu } from "../kernels/gpu.ts";
import { Plan, type ProfileRow, runPlans } from "../kernels/plan.ts";
import { tune } from "../kernels/tune.ts";
import { Progress } from "../scripts/progress.ts";
import { relativeL2 } from "./values.ts";

/**
 * Makes a GPU ready to be timed: the length of a tick is looked up once a device, which is no part of
 * what is timed.
 *
 * @throws {Error} If it has no timestamps.
 */
export async function openClock(gpu: Gpu): Promise<void> {
  if (!gpu.hasTimestamps) throw new Error(`Cannot time ${gpu.name}: it has no timestamp-query`);
  await tickMs(gpu);
}

/** What is left of some samples. */
export interface Summary {
  min: number;
  median: number;
}

/** @throws {RangeError} If there is no sample. */
export function summarise(samples: readonly number[]): Summary {
  const sorted = samples.toSorted((a, b) => a - b);
  const [min, median] = [sorted[0], sorted[sorted.length >> 1]];
  if (min === undefined || median === undefined) {
    throw new RangeError("Cannot summarise samples: there are 0, wanted at least 1");
  }
  return { min, median };
}

/**
 * Runs every task once a round, so that a slow spell of the machine meets all of them.
 *
 * @returns Samples by task.
 */
export async function interleave<T>(
  rounds: number,
  tasks: readonly (() => Promise<T>)[],
): Promise<T[][]> {
  const samples: T[][] = tasks.map(() => []);
  const progress = new Progress("bench");
  for (let round = 0; round < rounds; round++) {
    for (const [i, task] of tasks.entries()) {
      const done = round * tasks.length + i;
      progress.show({ done, total: rounds * tasks.length, words: [`round ${round + 1}`] });
      samples[i]!.push(await task());
    }
  }
  progress.end();
  return samples;
}

/** Milliseconds of some work, waiting included. */
export async function wallTime(work: () => Promise<unknown>): Promise<number> {
  const start = performance.now();
  await work();
  return performance.now() - start;
}

const SETTLE_MS = 1000; // of work at least, until the clock can be up
const MOST_TRIES = 1000;

/**
 * Repeats a measurement until it gets no faster: a GPU that had nothing to do runs at a sixth of its
 * clock, and takes a while to believe that the work goes on.
 *
 * @param leastMs Goes on for so long at least.
 * @returns The fastest.
 */
export async function settled<T extends { wall: number }>(
  measure: () => Promise<T>,
  leastMs = SETTLE_MS,
): Promise<T> {
  const start = performance.now();
  let best = await measure();
  for (let tries = 1; tries < MOST_TRIES; tries++) {
    const next = await measure();
    const isSettled = next.wall > 0.98 * best.wall && performance.now() - start >= leastMs;
    if (next.wall < best.wall) best = next;
    if (isSettled) break;
  }
  return best;
}

/** A kernel, or a few that belong together, ready to be timed. */
export interface KernelCase {
  name: string;
  /** What it multiplies is stored as f16 or may be rounded to it: matrix units may take it. */
  isHalf?: boolean;
  /** Records it once. */
  record(plan: Plan): void;
  /** Reads results and compares them; throws. */
  check(): Promise<void>;
}

/** One label of a case, by call. */
export interface KernelTime {
  name: string;
  /** As of its {@linkcode KernelCase}. */
  isHalf: boolean;
  gpu: Summary;
  /** Milliseconds of the host for all labels of the case: encode, submit, wait. */
  wall: Summary;
  flops: number;
  bytes: number;
}

const SAMPLE_MS = 10; // of GPU time at least, so that small kernels are warm
const BUSY_MS = 50; // of work before each sample of a GPU, so that its clock is up
const MOST_CALLS = 50;
const CLOCK_MS = 1e-3; // what a GPU's clock resolves

/** What one run of a case gives, by call. */
interface KernelSample {
  wall: number;
  rows: ProfileRow[];
}

/**
 * Checks cases, then times them in turns.
 *
 * @returns A row for each label of each case, in order.
 * @throws {Error} If a result is wrong.
 */
export async function timeCases(
  gpu: Gpu,
  cases: readonly KernelCase[],
  rounds: number,
): Promise<KernelTime[]> {
  const tasks: (() => Promise<KernelSample>)[] = [];
  for (const test of cases) tasks.push(await prepareCase(gpu, test));
  if (!gpu.isCpu) await settled(tasks[0]!);
  const samples = await interleave(rounds, tasks);
  return samples.flatMap((runs, i) => timesOf(cases[i]!, runs));
}

/** Compiles, runs and checks a case, and finds out how many calls make a sample. */
async function prepareCase(gpu: Gpu, test: KernelCase): Promise<() => Promise<KernelSample>> {
  const planOf = async (calls: number) => {
    const plan = new Plan(gpu);
    for (let call = 0; call < calls; call++) test.record(plan);
    await tune(gpu, [plan]);
    await plan.ready();
    return plan;
  };
  const once = await planOf(1);
  const cold = sum(await once.profile());
  try {
    await test.check();
  } catch (cause) {
    throw new Error(`Cannot time ${test.name}: ${(cause as Error).message}`, { cause });
  }
  const warm = Math.max(CLOCK_MS, cold > SAMPLE_MS ? cold : sum(await once.profile()));
  const calls = Math.max(1, Math.min(MOST_CALLS, Math.ceil(SAMPLE_MS / warm)));
  const plan = calls === 1 ? once : await planOf(calls);
  const repeats = gpu.isCpu ? 0 : Math.ceil(BUSY_MS / (calls * warm));
  return async () => {
    for (let repeat = 0; repeat < repeats; repeat++) runPlans(gpu, [plan]);
    let rows: ProfileRow[] = [];
    if (repeats > 0) await settleGpu(gpu);
    const wall = await wallTime(async () => rows = await plan.profile());
    return { wall: wall / calls, rows: rows.map((row) => byCall(row, calls)) };
  };
}

function byCall({ label, ms, flops, bytes }: ProfileRow, calls: number): ProfileRow {
  return { label, calls: 1, ms: ms / calls, flops: flops / calls, bytes: bytes / calls };
}

/** Rows of a case, named after it and, where it has more than one label, after each. */
function timesOf(
  { name, isHalf = false }: KernelCase,
  runs: readonly KernelSample[],
): KernelTime[] {
  const wall = summarise(runs.map((run) => run.wall));
  const labels = runs[0]!.rows.map((row) => row.label);
  return labels.map((label) => {
    const rows = runs.map((run) => run.rows.find((row) => row.label === label)!);
    const { flops, bytes } = rows[0]!;
    const gpu = summarise(rows.map(({ ms }) => ms));
    const full = label.startsWith(name) ? label : `${name}: ${label}`;
    return { name: labels.length === 1 ? name : full, isHalf, gpu, wall, flops, bytes };
  });
}

/** GPU time of all rows, in milliseconds. */
export function sum(rows: readonly ProfileRow[]): number {
  return rows.reduce((total, { ms }) => total + ms, 0);
}

/**
 * Compares a result with what it should be.
 *
 * @throws {RangeError} If the relative L2 error is not at most `most`; NaN is not.
 */
export function checkClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  most: number,
): void {
  const error = relativeL2(actual, expected);
  if (!(error <= most)) throw new RangeError(`its relative L2 error is ${error}, at most ${most}`);
}
