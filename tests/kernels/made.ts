import type { Gpu } from "../../kernels/gpu.ts";

const KINDS = ["Buffer", "BindGroup", "ComputePipeline", "ShaderModule", "QuerySet", "Texture"];

/** Names what is made on the device while `use` runs. */
export async function madeBy(gpu: Gpu, use: () => unknown): Promise<string[]> {
  const made: string[] = [];
  await watch(gpu, use, (kind) => made.push(kind));
  return made;
}

/** Names what `use` makes on the device and does not destroy. */
export async function leftBy(gpu: Gpu, use: () => unknown): Promise<string[]> {
  const left = new Map<object, string>();
  await watch(gpu, use, (kind, made) => {
    if (!("destroy" in made)) return; // a pipeline and its like
    left.set(made, kind);
    const destroy = (made.destroy as () => void).bind(made);
    made.destroy = () => (left.delete(made), destroy());
  });
  return [...left.values()];
}

async function watch(
  gpu: Gpu,
  use: () => unknown,
  note: (kind: string, made: object) => void,
): Promise<void> {
  const device = gpu.device as unknown as Record<string, (...args: unknown[]) => object>;
  for (const kind of KINDS) {
    const create = device[`create${kind}`]!.bind(device);
    device[`create${kind}`] = (...args) => {
      const made = create(...args);
      note(kind, made);
      return made;
    };
  }
  try {
    await use();
  } finally {
    for (const kind of KINDS) delete device[`create${kind}`]; // the prototype's are back
  }
}
