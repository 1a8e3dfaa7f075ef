/**
 * Autotune: where a kernel can be laid out in more than one way, times them on this adapter and
 * takes the fastest. All layouts of a kernel give the same bits, so tuning changes no result.
 *
 * @module
 */
import { destroyTensor, type Gpu, settleGpu, type Tensor } from "./gpu.ts";
import { Plan, runPlans } from "./plan.ts";

/**
 * Not at all; kernels that matter, on GPUs; all kernels. Layouts on CPU adapters were measured
 * when they were written: only `full` tries them again.
 */
export type TuneLevel = "off" | "quick" | "full";

/** A kernel that can be laid out in more than one way. */
export interface TunedKernel<Layout extends string> {
  /** What its speed depends on: operation, shapes, types. */
  key: string;
  layouts: readonly Layout[];
  /** The layout to take when none is known to be faster. */
  fallback: Layout;
  flops: number;
  record(layout: Layout): void;
  /**
   * Records it for a trial, which must leave no tensor changed that is not written anew before it
   * is read.
   *
   * @returns Tensors to free after the trial.
   */
  rehearse(plan: Plan, layout: Layout): Tensor[];
}

interface Question {
  kernel: TunedKernel<string>;
  /** Records it anew, wherever its plan has it. */
  again: (() => void)[];
}

/** How much to find out, and what is known. */
export interface Tuning {
  level: TuneLevel;
  /** The fastest layouts, by adapter and kernel; new ones are added. */
  answers: Map<string, string>;
}

interface OpenTuning extends Tuning {
  /** By kernel, of plans that have not been tuned; with a plan go its tensors, and so its questions. */
  questions: WeakMap<Plan, Map<string, Question>>;
}

/** Kernels below this do not matter: 0.1 ms on a GPU of 10 TFLOP/s. */
const QUICK_FLOPS = 1e9;
/** Timed runs of a layout, after the first. */
const RUNS = { off: 0, quick: 2, full: 7 };
// A GPU lowers its clock while it waits, some to a sixth within a second, and takes as long to raise
// it. Milliseconds of work:
const WAKE_MS = 1000; // before the first trial
const BUSY_MS = 20; // before each, right before it

const tunings = new WeakMap<Gpu, OpenTuning>();

/** From now on, plans for this device are tuned when {@linkcode tune} is called. */
export function startTuning(gpu: Gpu, { level, answers }: Tuning): void {
  if (level === "off" || level === "quick" && gpu.isCpu || !gpu.hasTimestamps) tunings.delete(gpu);
  else tunings.set(gpu, { level, answers, questions: new WeakMap() });
}

/** Records a kernel in the layout that is known to be fastest, or asks which it is. */
export function recordTuned<Layout extends string>(plan: Plan, kernel: TunedKernel<Layout>): void {
  const { layouts, fallback, flops } = kernel;
  const key = keyOf(plan.gpu, kernel.key);
  const tuning = tunings.get(plan.gpu);
  const known = () => layouts.find((layout) => layout === tuning?.answers.get(key));
  const matters = layouts.length > 1 && (tuning?.level === "full" || flops >= QUICK_FLOPS);
  if (!tuning || !matters || known()) {
    kernel.record(known() ?? fallback);
    return;
  }
  const questions = tuning.questions.get(plan) ?? new Map<string, Question>();
  const question = questions.get(key) ?? { kernel, again: [] };
  question.again.push(plan.part(() => kernel.record(known() ?? fallback)));
  tuning.questions.set(plan, questions.set(key, question as Question));
}

/** What is known of this adapter, by kernel. */
export function answersFor(
  gpu: Pick<Gpu, "name" | "host">,
  answers: ReadonlyMap<string, string>,
): Map<string, string> {
  const prefix = keyOf(gpu, "");
  const own = [...answers].filter(([key]) => key.startsWith(prefix));
  return new Map(own.map(([key, layout]) => [key.slice(prefix.length), layout]));
}

function keyOf({ name, host }: Pick<Gpu, "name" | "host">, kernel: string): string {
  return `${name}, ${host}: ${kernel}`;
}

/**
 * Times the layouts of all kernels of these plans that are not known, and records each anew in its
 * fastest. Their results must not be in use: call it before the first run of a plan.
 *
 * @returns Kernels that were timed.
 * @throws {SyntaxError} If a layout does not compile.
 */
export async function tune(gpu: Gpu, plans: readonly Plan[]): Promise<number> {
  const tuning = tunings.get(gpu);
  if (!tuning) return 0;
  const { level, answers } = tuning;
  let timed = 0;
  for (const plan of plans) {
    const questions = tuning.questions.get(plan) ?? new Map<string, Question>();
    for (const [key, { kernel, again }] of questions) {
      questions.delete(key); // one that cannot be answered is not asked again
      if (!kernel.layouts.some((layout) => layout === answers.get(key))) {
        const wakeMs = timed === 0 ? WAKE_MS : BUSY_MS;
        answers.set(key, await fastest(gpu, kernel, { runs: RUNS[level], wakeMs }));
        timed++;
      }
      for (const record of again) record();
      await plan.ready();
    }
  }
  return timed;
}

async function fastest(
  gpu: Gpu,
  kernel: TunedKernel<string>,
  { runs, wakeMs }: { runs: number; wakeMs: number },
): Promise<string> {
  const plans: Plan[] = [];
  const scratch: Tensor[] = [];
  const best = kernel.layouts.map(() => Infinity);
  try {
    for (const layout of kernel.layouts) {
      const plan = new Plan(gpu);
      scratch.push(...kernel.rehearse(plan, layout));
      await plan.ready();
      await plan.profile(); // compiles
      plans.push(plan);
    }
    const repeats = gpu.isCpu ? 0 : await wake(gpu, plans[0]!, wakeMs);
    // In turns, so that a slow spell of the machine meets all of them.
    for (let run = 0; run < runs; run++) {
      for (const [i, plan] of plans.entries()) {
        for (let repeat = 0; repeat < repeats; repeat++) runPlans(gpu, [plan]);
        const ms = (await plan.profile()).reduce((sum, { ms }) => sum + ms, 0);
        best[i] = Math.min(best[i]!, ms);
      }
    }
  } finally {
    for (const tensor of scratch) destroyTensor(gpu, tensor);
  }
  return kernel.layouts[best.indexOf(Math.min(...best))]!;
}

/** Runs a plan for so long; how many runs take {@linkcode BUSY_MS} by then. */
async function wake(gpu: Gpu, plan: Plan, ms: number): Promise<number> {
  const end = performance.now() + ms;
  for (let repeats = 1;;) {
    const start = performance.now();
    for (let repeat = 0; repeat < repeats; repeat++) runPlans(gpu, [plan]);
    await settleGpu(gpu);
    const now = performance.now();
    if (now - start < BUSY_MS) repeats *= 2;
    else if (now >= end) return repeats;
  }
}
