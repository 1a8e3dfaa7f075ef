/**
 * Measures this machine: kernels and whole steps, checked before they are timed.
 *
 *     deno task bench [kernels|step|cost|memory|retrieval|loader] [--quick] [--json FILE]
 *
 * @module
 */
import { closeGpu, type Gpu, openGpu } from "../kernels/gpu.ts";
import { modelConfig } from "../model/config.ts";
import { answersFor, startTuning } from "../kernels/tune.ts";
import type { Precision } from "../model/network.ts";
import { parseFlags, refuseUnused, runScript, UsageError } from "../scripts/cli.ts";
import { GPU_FLAGS, hostOf } from "../scripts/flags.ts";
import { keepLayouts, readLayouts, TUNE_FLAGS } from "../scripts/layouts.ts";
import { benchCost } from "./cost_bench.ts";
import { benchKernels } from "./kernels_bench.ts";
import { openClock } from "./measure.ts";
import { benchMemory } from "./memory_bench.ts";
import { Report } from "./report.ts";
import { benchRetrieval } from "./retrieval_bench.ts";
import { benchStep } from "./step_bench.ts";

const COMMAND = {
  name: "bench",
  summary:
    "measures kernels (ceilings and every kernel), step (whole steps and embeddings), cost " +
    "(time against work), memory (of the full batch), retrieval (search of a gallery), or loader " +
    "(pictures); by default kernels and step",
};

const FLAGS = {
  quick: { type: "boolean", help: "one small size, under a minute on two cores" },
  json: { type: "string", unit: "file", help: "write the tables there too" },
  ...GPU_FLAGS,
  img_size: { type: "integer", unit: "px", default: 256, min: 16, help: "input of a step" },
  ...TUNE_FLAGS,
  precision: {
    type: "string",
    choices: ["f32", "f16"],
    help: "of kernels and steps; by default both, with --quick f32",
  },
  rounds: {
    type: "integer",
    min: 1,
    help: "runs of everything; by default 3 on a CPU adapter, 11 on a GPU, with --quick 1",
  },
  batch_size: {
    type: "integer",
    unit: "pairs",
    min: 1,
    help: "of a step; by default 2 on a CPU adapter, 32 on a GPU",
  },
} as const;

type Flags = ReturnType<typeof parseFlags<typeof FLAGS>>;

interface Topic {
  /** Flags it goes by, of those that only some topics do. */
  uses: readonly (keyof Flags)[];
  /** It times kernels, by the GPU's timestamps. */
  needsClock: boolean;
  run(gpu: Gpu, report: Report, flags: Flags): Promise<void> | void;
}

const TOPICS: Record<string, Topic> = {
  kernels: {
    uses: ["quick", "precision", "rounds"],
    needsClock: true,
    run: (gpu, report, flags) =>
      benchKernels(gpu, report, {
        sizes: flags.quick ? [224] : [224, 256, 384],
        images: gpu.isCpu ? (flags.quick ? 2 : 4) : 64,
        precisions: precisionsOf(gpu, flags),
        rounds: roundsOf(gpu, flags),
      }),
  },

  step: {
    uses: ["quick", "img_size", "precision", "rounds", "batch_size"],
    needsClock: true,
    run: (gpu, report, flags) =>
      benchStep(gpu, report, {
        config: modelConfig("vits16"),
        size: flags.quick ? 224 : flags.img_size,
        pairs: flags.batch_size ?? (gpu.isCpu ? (flags.quick ? 1 : 2) : 32),
        rank: 128,
        variants: precisionsOf(gpu, flags).flatMap((precision) => [
          { precision, dropout: 0, checkpointing: false },
          { precision, dropout: 0, checkpointing: true },
          { precision, dropout: 0.1, checkpointing: false },
        ]),
        rounds: roundsOf(gpu, flags),
      }),
  },

  cost: {
    uses: ["quick", "rounds"],
    needsClock: true,
    run: (gpu, report, flags) =>
      benchCost(gpu, report, {
        // A CPU adapter takes seconds a block for 64 pairs: one block costs as each of twelve.
        config: modelConfig("vits16", { depth: gpu.isCpu ? 1 : 12 }),
        batches: flags.quick ? [1, 2, 4] : [1, 2, 4, 8, 16, 32, 64],
        sizes: [224, 256, 384],
        ranks: flags.quick ? [4, 128] : [4, 8, 16, 32, 64, 128, 256],
        losses: flags.quick ? [128, 512] : [128, 1024, 8192],
        rounds: roundsOf(gpu, flags),
      }),
  },

  memory: {
    uses: [],
    needsClock: false,
    run: (gpu, report) => benchMemory(gpu, report),
  },

  retrieval: {
    uses: ["quick", "rounds"],
    needsClock: false,
    run: (gpu, report, flags) =>
      benchRetrieval(gpu, report, {
        queries: flags.quick ? 200 : 2091, // the test set of UAV-VisLoc and VPAIR
        references: flags.quick ? [1000, 10_000] : [1000, 10_000, 20_000, 100_000],
        dim: 256,
        k: 10,
        rounds: roundsOf(gpu, flags),
      }),
  },
};

function roundsOf({ isCpu }: Gpu, { rounds, quick }: Flags): number {
  return rounds ?? (quick ? 1 : isCpu ? 3 : 11);
}

function precisionsOf({ hasF16 }: Gpu, { precision, quick }: Flags): Precision[] {
  if (precision !== null) return [precision];
  return hasF16 && !quick ? ["f32", "f16"] : ["f32"];
}

async function main(args: string[]): Promise<void> {
  const [first] = args;
  const topic = first === undefined || first.startsWith("-") ? null : first;
  const flags = parseFlags(COMMAND, FLAGS, topic === null ? args : args.slice(1));
  if (topic === "loader") { // opens no GPU, and prints only
    refuseUnused("bench", flags, FLAGS, "changes nothing of loader");
    await import("./loader_bench.ts");
    return;
  }
  const names = topic === null ? ["kernels", "step"] : [topic];
  const topics = names.map((name) => {
    if (Object.hasOwn(TOPICS, name)) return TOPICS[name]!;
    const known = [...Object.keys(TOPICS), "loader"].join(", ");
    throw new UsageError(`Cannot run bench: there is no "${name}", only ${known}`);
  });
  const used = topics.flatMap(({ uses }) => uses);
  const unused = Object.values(TOPICS).flatMap(({ uses }) => uses)
    .filter((flag) => !used.includes(flag)).map((flag) => [flag, FLAGS[flag]] as const);
  const because = `changes nothing of ${names.join(" and ")}`;
  refuseUnused("bench", flags, Object.fromEntries(unused), because);
  const gpu = await openGpu(hostOf(flags));
  try {
    if (flags.precision === "f16" && !gpu.hasF16) {
      throw new Error(`Cannot measure f16 on ${gpu.name}: it has no shader-f16`);
    }
    const report = new Report(gpu);
    const level = flags.tune;
    const answers = await readLayouts(level);
    const save = async () => flags.json !== null && await report.save(flags.json);
    await save(); // a file that cannot be written is better known before hours of work
    for (const { needsClock, run } of topics) {
      // A device of its own: textures that kernels were read through would count as the step's.
      const own = await openGpu(hostOf(flags));
      try {
        if (needsClock) await openClock(own);
        startTuning(own, { level, answers });
        await run(own, report, flags);
      } finally {
        closeGpu(own);
      }
      await save();
    }
    const tuned = answersFor(gpu, answers);
    if (tuned.size > 0) {
      const row = report.table("layouts", ["kernel", "fastest"]);
      for (const entry of tuned) row(entry);
    }
    await keepLayouts(answers);
    await save();
    if (flags.json !== null) console.error(`wrote ${flags.json}`);
  } finally {
    closeGpu(gpu);
  }
}

if (import.meta.main) await runScript(main);
