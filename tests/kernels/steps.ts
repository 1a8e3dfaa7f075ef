/**
 * Whole training steps that are compiled and never run: for what compilers say of every kernel.
 *
 * @module
 */
import type { Gpu } from "../../kernels/gpu.ts";
import { modelConfig } from "../../model/config.ts";
import { randomBackbone } from "../../model/hash_rule.ts";
import { initialAdapter, LORA_TARGETS } from "../../model/init.ts";
import { createTrainer } from "../../model/trainer.ts";
import { backboneOfTensors } from "../../model/weights.ts";
import { withMethods } from "./replaced.ts";

/** A plain or gated block, precision, dropout. */
export interface Step {
  model: string;
  precision: "f32" | "f16";
  dropout: number;
}

/** Every kernel of a training is in one of them. */
export const STEPS: readonly Step[] = ["vits16", "vits16plus"].flatMap((model) =>
  (["f32", "f16"] as const).flatMap((precision) =>
    [0, 0.1].map((dropout) => ({ model, precision, dropout }))
  )
);

/** A device that makes modules of WGSL, whose code it notes, and no pipelines of them. */
export function modulesOnly(device: GPUDevice, note: (code: string) => void = () => {}): GPUDevice {
  return withMethods(device, {
    createShaderModule(descriptor: GPUShaderModuleDescriptor) {
      note(descriptor.code);
      return device.createShaderModule(descriptor);
    },
    createComputePipeline: () => ({ getBindGroupLayout: () => null }),
    createBindGroup: () => null,
  });
}

/** Compiles a step of one block. */
export async function compileStep(gpu: Gpu, { model, precision, dropout }: Step): Promise<void> {
  const config = modelConfig(model, { depth: 1 });
  const shape = { rank: 4, alpha: 8, targets: LORA_TARGETS, head: { hidden: 8, embedDim: 8 } };
  const trainer = await createTrainer(gpu, {
    ...{ precision, height: 32, width: 32, pool: "avg", batchSize: 2, weightDecay: 0.01 },
    ...{ clipValue: 100, clipNorm: 1, seed: 1 },
    backbone: backboneOfTensors(randomBackbone(config, 1), config),
    adapter: initialAdapter(config, { ...shape, dropout, seed: 1 }),
  });
  trainer.destroy();
}
