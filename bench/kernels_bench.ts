/**
 * Every kernel at the shapes of ViT-S: time, rates, and how near the machine's ceiling that is.
 *
 * @module
 */
import type { Gpu } from "../kernels/gpu.ts";
import { modelConfig } from "../model/config.ts";
import type { Precision } from "../model/network.ts";
import { type Ceilings, measureCeilings } from "./ceilings.ts";
import { gemmCases } from "./gemm_cases.ts";
import { attentionCases, rowCases } from "./layer_cases.ts";
import { lossCases } from "./loss_cases.ts";
import { type KernelCase, type KernelTime, timeCases } from "./measure.ts";
import type { Cell, Report } from "./report.ts";
import { Room } from "./room.ts";

/** Options of {@linkcode benchKernels}. */
export interface KernelBenchOptions {
  /** Sides of images in pixels. */
  sizes: readonly number[];
  images: number;
  precisions: readonly Precision[];
  rounds: number;
}

const COLUMNS = [
  ...["px", "precision", "kernel", "min ms", "median ms", "wall ms"],
  ...["GFLOP/s", "GB/s", "bound by", "% of ceiling"],
];

/** Prints the tables `ceilings` and `kernels`. */
export async function benchKernels(
  gpu: Gpu,
  report: Report,
  { sizes, images, precisions, rounds }: KernelBenchOptions,
): Promise<void> {
  const config = modelConfig("vits16");
  const rank = 128;
  const ceilings = await measureCeilings(gpu, report, rounds);
  const row = report.table(
    "kernels",
    COLUMNS,
    `${config.name}, ${images} images, r = ${rank}; bytes are those of every tensor once`,
  );
  const run = async (
    place: [px: number | null, precision: Precision],
    casesOf: (room: Room) => KernelCase[],
  ) => {
    const room = new Room(gpu);
    try {
      for (const time of await timeCases(gpu, casesOf(room), rounds)) {
        row([...place, ...cells(time, ceilings)]);
      }
    } finally {
      room.destroy();
    }
  };
  for (const precision of precisions) {
    for (const size of sizes) {
      const options = { config, precision, size, images, rank };
      await run([size, precision], (room) => gemmCases(gpu, room, options));
      await run([size, precision], (room) => attentionCases(room, options));
      await run([size, precision], (room) => rowCases(room, options));
    }
  }
  await run([null, "f32"], (room) => lossCases(room, 128));
}

/** The ceiling that takes longer for this much work is the one that binds. */
export function boundOf(
  { isHalf, flops, bytes }: Pick<KernelTime, "isHalf" | "flops" | "bytes">,
  { fma, matrix, copy }: Ceilings,
): { by: "fma" | "matrix" | "copy"; ms: number } {
  const copying = bytes / copy / 1e6;
  // Sums are f32 whatever the operands' type.
  const [by, rate] = isHalf && matrix !== null
    ? ["matrix", matrix] as const
    : ["fma", fma.f32!] as const;
  const computing = flops / rate / 1e6;
  return computing > copying ? { by, ms: computing } : { by: "copy", ms: copying };
}

function cells(time: KernelTime, ceilings: Ceilings): Cell[] {
  const { name, gpu, wall, flops, bytes } = time;
  const bound = boundOf(time, ceilings);
  return [
    ...[name, gpu.min, gpu.median, wall.min],
    ...[flops / gpu.min / 1e6 || null, bytes / gpu.min / 1e6],
    ...[bound.by, 100 * bound.ms / gpu.min],
  ];
}
