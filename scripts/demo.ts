/**
 * The whole job on a small synthetic world, with nothing to download: makes satellite tiles and
 * drone photos of two regions, and runs the commands that a user would.
 *
 *     deno task demo
 *
 * @module
 */
import { join } from "node:path";
import { type SyntheticSize, type SyntheticSource, writeSource } from "../data/synthetic.ts";
import type { Metrics } from "../eval/evaluate.ts";
import { resultLines } from "../eval/lines.ts";
import { parseMetrics } from "../eval/report.ts";
import { parseFlags, PROGRAM, runScript } from "./cli.ts";
import { keepOnly, keepReading } from "./permissions.ts";
import { findRun } from "./run_folder.ts";

/** What it is called and does. */
export const COMMAND = {
  name: "demo",
  summary: "makes a small world, trains on it and evaluates, without any download",
};

/** Flags of the command. */
export const FLAGS = {
  output: { type: "string", unit: "folder", default: "work_dir/demo", help: "for all it writes" },
} as const;

/** Forests and lakes, and villages; each was seen from space, and a season later from the air. */
export const REGIONS: Readonly<Record<string, SyntheticSource>> = {
  north: {
    seed: 1,
    maps: { train: 1, test: 2 },
    landscape: { fieldArea: 2000, woods: 0.15, villages: 0.12, conifers: 0.6, lakes: 3 },
    origin: { lat: 48.2, lon: 11.1 },
    satellite: {
      season: "summer",
      azimuth: 2.6,
      elevation: 0.9,
      exposure: 1,
      warmth: 0,
      haze: 0.05,
    },
    drone: {
      season: "autumn",
      azimuth: 4.2,
      elevation: 0.6,
      exposure: 0.95,
      warmth: 0.02,
      haze: 0.03,
    },
    photo: { width: 160, height: 120, span: 110 },
    altitude: 95,
  },
  south: {
    seed: 2,
    maps: { train: 3, test: 4 },
    landscape: { fieldArea: 2600, woods: 0.1, villages: 0.15, conifers: 0.1, lakes: 1 },
    origin: { lat: 48.1, lon: 11.2 },
    satellite: {
      season: "spring",
      azimuth: 2.9,
      elevation: 0.9,
      exposure: 1,
      warmth: 0,
      haze: 0.05,
    },
    drone: {
      season: "summer",
      azimuth: 1.9,
      elevation: 0.8,
      exposure: 1.05,
      warmth: 0.03,
      haze: 0.08,
    },
    photo: { width: 192, height: 128, span: 90 },
    altitude: 120,
  },
};

/** How much the demo does. */
export interface DemoSize extends SyntheticSize {
  /** Virtual copies of each photo in an epoch. */
  copies: number;
  epochs: number;
  /** Pairs a step. */
  batch: number;
}

/** Two to three minutes on two cores, kernels to compile included. */
export const DEMO_SIZE: DemoSize = {
  rows: 8,
  columns: { train: 16, test: 4 },
  passes: { train: 3, test: 2 },
  copies: 2,
  epochs: 4,
  batch: 32,
};

/**
 * Augmentation for a small network and a short run: the defaults imitate low flights and poor
 * cameras, which takes longer to learn.
 */
const AUGMENT = {
  real_query: { low_altitude: { p: 0 }, jpeg: { p: 0 }, color_jitter: { p: 0 }, filter: { p: 0 } },
  gallery: {
    center_zoom: { p: 0 },
    jpeg: { p: 0 },
    color_jitter: { p: 0 },
    filter: { p: 0 },
    dropout: { p: 0 },
  },
};

/** A command to run. */
export interface Step {
  name: "merge" | "weights" | "train" | "eval";
  args: string[];
}

/** The commands up to the training. */
export function trainingSteps(folder: string, { copies, epochs, batch }: DemoSize): Step[] {
  const merge = (split: string, multiplier: number): Step => {
    const sources = Object.entries(REGIONS).flatMap(([name, { altitude }]) => {
      const root = join(folder, name);
      const json = join(root, `cross-area-drone2sate-${split}.json`);
      return ["--source", `${name}=${json},${root},${multiplier},${altitude}`];
    });
    return { name: "merge", args: [...sources, "--output", join(folder, `${split}.json`)] };
  };
  const weights = join(folder, "random.safetensors");
  return [
    merge("train", copies),
    merge("test", 1),
    { name: "weights", args: ["--random", "vit_small_patch16_dinov3", "--output", weights] },
    {
      name: "train",
      args: [
        ...["--train_pairs_meta_file", join(folder, "train.json"), ...modelArgs(folder)],
        ...["--lora_r", "8", "--lora_alpha", "16", "--lora_dropout", "0"],
        ...["--mlp_hidden", "512", "--embed_dim", "128"],
        ...["--batch_size", `${batch}`, "--epochs", `${epochs}`, "--lr", "3e-3"],
        ...["--train_mode", "pos", "--augment", join(folder, "augment.json"), "--rotate"],
        ...["--model_path", join(folder, "runs")],
      ],
    },
  ];
}

/** The command after it. */
export function evaluationStep(folder: string, run: string): Step {
  const files = ["--adapter", join(run, "final"), "--json", join(folder, "after.json")];
  return { name: "eval", args: [...files, ...modelArgs(folder)] };
}

/** What training and evaluation must agree on. */
function modelArgs(folder: string): string[] {
  return [
    ...["--test_pairs_meta_file", join(folder, "test.json")],
    ...["--weights", join(folder, "random.safetensors"), "--depth", "1", "--img_size", "64"],
    ...["--num_workers", "2"],
  ];
}

/** A command as one types it, its flags on lines of up to 100 characters. */
export function commandLine({ name, args }: Step): string {
  const words = args.map((arg) => /^[\w./=,-]+$/.test(arg) ? arg : `'${arg}'`);
  const flags = words.join(" ").split(/ (?=--)/);
  let line = `${PROGRAM} ${name}`;
  const lines: string[] = [];
  for (const flag of flags) {
    if (line.length + flag.length > 96) {
      lines.push(line);
      line = " ";
    }
    line += ` ${flag}`;
  }
  return [...lines, line].join(" \\\n");
}

/**
 * Runs the demo.
 *
 * @param folder For all that is written.
 * @returns Metrics of the unseen areas before and after training, and the run's folder.
 */
export async function runDemo(
  folder: string,
  size: DemoSize,
): Promise<{ before: Record<string, Metrics>; after: Record<string, Metrics>; run: string }> {
  // Here first: each command gives up all but its own needs and what is granted by then.
  await keepOnly({ write: [folder], pictures: true });
  keepReading([folder]);
  await Deno.mkdir(folder, { recursive: true });
  for (const [name, source] of Object.entries(REGIONS)) {
    const { tiles, photos } = await writeSource(join(folder, name), source, size);
    const map = join(folder, name, "map.jpg");
    console.log(`${name}: ${tiles} satellite tiles, ${photos} drone photos; all of it: ${map}`);
  }
  await Deno.writeTextFile(join(folder, "augment.json"), JSON.stringify(AUGMENT, null, 2) + "\n");
  for (const step of trainingSteps(folder, size)) await runStep(step);
  const run = findRun(join(folder, "runs"), "");
  await runStep(evaluationStep(folder, run));

  const { evaluations } = parseMetrics(await Deno.readTextFile(join(run, "metrics.jsonl")));
  const after = JSON.parse(await Deno.readTextFile(join(folder, "after.json")));
  return { before: evaluations[0]!.metrics, after, run };
}

/** Shows a command, then runs it. */
async function runStep(step: Step): Promise<void> {
  console.log(`\n$ ${commandLine(step)}`);
  const load = {
    merge: () => import("./merge.ts"),
    weights: () => import("./weights.ts"),
    train: () => import("./train.ts"),
    eval: () => import("./eval.ts"),
  }[step.name];
  const command = await load();
  await command.main(step.args);
}

/** Runs the command. */
export async function main(args: string[]): Promise<void> {
  const { output } = parseFlags(COMMAND, FLAGS, args);
  const start = performance.now();
  console.log(
    "This makes two small regions with fields, woods and villages, seen from space in one season\n" +
      "and from a drone in the next, trains one block of an untrained ViT-S to find the photos on\n" +
      "the map, and tests it where it has never been. It downloads nothing, needs no GPU and takes\n" +
      `two to three minutes on two cores; everything goes to ${output}.\n`,
  );
  const { before, after, run } = await runDemo(output, DEMO_SIZE);

  const { gallery } = after.overall!;
  console.log(`\nRecall in areas that the training never saw, among ${gallery} tiles:`);
  for (const [title, metrics] of [["before", before], ["after", after]] as const) {
    const recallLines = resultLines(metrics).slice(0, Object.keys(metrics).length);
    for (const line of recallLines) console.log(`${title.padEnd(8)}${line}`);
  }
  const rise = after.overall!["R@1"]! - before.overall!["R@1"]!;
  const wanted = (100 - before.overall!["R@10"]!) / 2;
  const minutes = (performance.now() - start) / 60_000;
  if (!(rise >= wanted)) {
    throw new Error(
      `Cannot show learning: R@1 rose by ${rise.toFixed(1)} points, ` +
        `expected at least ${wanted.toFixed(1)}; see ${join(run, "log.txt")}`,
    );
  }
  console.log(
    `R@1 rose by ${rise.toFixed(1)} points in ${minutes.toFixed(1)} minutes; at least ` +
      `${wanted.toFixed(1)} were expected, half of what R@10 had left to gain.\n` +
      `report: ${join(run, "report.html")}\n` +
      `next: train on photos of your own, see ${PROGRAM} train --help`,
  );
}

if (import.meta.main) await runScript(main);
