/**
 * GPU memory of the plain recipe at its full batch, by formula: no GPU of that size is needed.
 *
 * @module
 */
import type { Gpu } from "../kernels/gpu.ts";
import { modelConfig } from "../model/config.ts";
import { trainingMemory } from "../model/memory.ts";
import { benchAdapter, benchBackbone } from "./model.ts";
import type { Report } from "./report.ts";

const BINDING = 2 * 2 ** 30; // bytes: what wgpu lets a large GPU bind
const GIB = 2 ** 30;

const PARTS = ["weights", "trained", "activations", "scratch", "batch"] as const;
const COLUMNS = [
  ...["px", "precision", "checkpointing", ...PARTS.map((part) => `${part} GiB`), "total GiB"],
  "% of plain",
];

/** Prints the table `memory`. */
export function benchMemory(gpu: Gpu, report: Report): void {
  const limits = { maxStorageBufferBindingSize: BINDING } as GPUSupportedLimits;
  const large: Gpu = { ...gpu, isCpu: false, device: { limits } as GPUDevice };
  const config = modelConfig("vits16");
  const [pairs, rank, dropout] = [128, 128, 0.1];
  const adapter = benchAdapter(config, { rank, dropout });
  const backbone = benchBackbone(config);
  const row = report.table(
    "memory",
    COLUMNS,
    `by formula, on a GPU: ${config.name}, ${pairs} pairs, r = ${rank}, dropout ${dropout}`,
  );
  for (const size of [256, 384]) {
    for (const precision of ["f32", "f16"] as const) {
      const [plain, frugal] = [false, true].map((checkpointing) =>
        trainingMemory(large, {
          ...{ backbone, adapter, precision, checkpointing, batchSize: pairs },
          ...{ height: size, width: size, evalImages: 0 },
        })
      );
      for (const memory of [plain!, frugal!]) {
        row([
          ...[size, precision, memory === plain ? "no" : "yes"],
          ...PARTS.map((part) => memory[part] / GIB),
          ...[memory.total / GIB, 100 * memory.total / plain!.total],
        ]);
      }
    }
  }
}
