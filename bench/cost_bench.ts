/**
 * Cost against work: what grows with batch, tokens, rank and pairs should grow as the arithmetic.
 *
 * @module
 */
import type { Gpu } from "../kernels/gpu.ts";
import type { ProfileRow } from "../kernels/plan.ts";
import { prefixTokens, type ViTConfig } from "../model/config.ts";
import { infoNceCase } from "./loss_cases.ts";
import { interleave, timeCases } from "./measure.ts";
import type { StepOptions } from "./model.ts";
import type { Report } from "./report.ts";
import { Room } from "./room.ts";
import { sampleStep } from "./step_bench.ts";

/** Options of {@linkcode benchCost}. */
export interface CostBenchOptions {
  config: ViTConfig;
  /** Pairs of a step. */
  batches: readonly number[];
  /** Sides of images in pixels; the other tables have the first. */
  sizes: readonly number[];
  ranks: readonly number[];
  /** Pairs of the loss alone. */
  losses: readonly number[];
  rounds: number;
}

/** One row: a setting, its work and its time. */
interface Cost {
  value: number;
  /** Images or pairs. */
  count: number;
  flops: number;
  ms: number;
}

const COLUMNS = ["setting", "count", "ms", "ms each", "GFLOP each", "GFLOP/s", "time / arithmetic"];

/** Prints a table for each of the four. */
export async function benchCost(
  gpu: Gpu,
  report: Report,
  { config, batches, sizes, ranks, losses, rounds }: CostBenchOptions,
): Promise<void> {
  const base: StepOptions = {
    ...{ config, precision: "f32", size: sizes[0]!, pairs: 2, rank: 128, dropout: 0 },
    checkpointing: false,
  };
  const note =
    `${config.name}, blocks: ${config.depth}; the last column is ms by GFLOP over that ` +
    "of the first row, at most 1 where cost grows no worse than the arithmetic";
  const steps: [name: string, note: string, options: Map<number, StepOptions>][] = [
    ["batch", "pairs a step", new Map(batches.map((pairs) => [pairs, { ...base, pairs }]))],
    [
      "tokens",
      "of an image",
      new Map(sizes.map((size) => [tokens(size, config), { ...base, size }])),
    ],
    ["rank", "of the adapters", new Map(ranks.map((rank) => [rank, { ...base, rank }]))],
  ];
  for (const [name, what, settings] of steps) {
    const entries = [...settings];
    const samples = await interleave(
      rounds,
      entries.map(([, options]) => async () => (await sampleStep(gpu, options)).rows),
    );
    const costs = entries.map(([value, { pairs }], i) => ({
      value,
      count: 2 * pairs,
      ...fastest(samples[i]!),
    }));
    printCosts(report, `cost by ${name}`, { note: `${what}, ${note}`, costs });
  }

  const costs: Cost[] = [];
  for (const pairs of losses) {
    const room = new Room(gpu);
    try {
      const times = await timeCases(gpu, [infoNceCase(room, pairs)], rounds);
      const ms = times.reduce((sum, { gpu }) => sum + gpu.min, 0);
      const flops = times.reduce((sum, time) => sum + time.flops, 0);
      costs.push({ value: pairs, count: pairs, flops, ms });
    } finally {
      room.destroy();
    }
  }
  printCosts(report, "cost of the loss", { note: "by pairs", costs });
}

function tokens(size: number, config: ViTConfig): number {
  return (size / config.patch) ** 2 + prefixTokens(config);
}

/** Each kernel at its fastest: a machine that others use too is slow for a part of any round. */
export function fastest(rounds: readonly ProfileRow[][]): { flops: number; ms: number } {
  const best = new Map<string, ProfileRow>();
  for (const row of rounds.flat()) {
    if (row.ms < (best.get(row.label)?.ms ?? Infinity)) best.set(row.label, row);
  }
  const total = (field: "flops" | "ms") => best.values().reduce((sum, row) => sum + row[field], 0);
  return { flops: total("flops"), ms: total("ms") };
}

function printCosts(
  report: Report,
  name: string,
  { note, costs }: { note: string; costs: readonly Cost[] },
): void {
  const row = report.table(name, COLUMNS, note);
  const rate = ({ flops, ms }: Cost) => flops / ms / 1e6;
  for (const cost of costs) {
    const { value, count, flops, ms } = cost;
    row([
      ...[value, count, ms, ms / count, flops / count / 1e9, rate(cost)],
      rate(costs[0]!) / rate(cost),
    ]);
  }
}
