import type { Gpu } from "../../kernels/gpu.ts";

const KINDS = ["Buffer", "BindGroup", "ComputePipeline", "ShaderModule", "QuerySet", "Texture"];

/** Names what is made on the device while `use` runs. */
export async function madeBy(gpu: Gpu, use: () => Promise<void> | void): Promise<string[]> {
  const made: string[] = [];
  const device = gpu.device as unknown as Record<string, (...args: unknown[]) => unknown>;
  for (const kind of KINDS) {
    const create = device[`create${kind}`]!.bind(device);
    device[`create${kind}`] = (...args) => (made.push(kind), create(...args));
  }
  try {
    await use();
  } finally {
    for (const kind of KINDS) delete device[`create${kind}`]; // the prototype's are back
  }
  return made;
}
