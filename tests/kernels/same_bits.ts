/**
 * Kernels that read tensors as textures on CPU adapters, against the same ones reading buffers, as
 * they do on GPUs.
 *
 * @module
 */
import assert from "node:assert/strict";
import { type Gpu, readTensor, type Tensor } from "../../kernels/gpu.ts";

/**
 * Asserts that kernels write the same numbers, all finite, either way.
 *
 * @param gpu A CPU adapter.
 * @param run Runs them on a device, which is the same one in another guise the second time, and
 *   gives what they wrote; nothing that it writes may be left from the first time.
 */
export async function assertSameBits(
  gpu: Gpu,
  run: (device: Gpu) => Promise<Tensor[]>,
): Promise<void> {
  const results = async (device: Gpu) =>
    await Promise.all((await run(device)).map((tensor) => readTensor(device, tensor)));
  const fromTextures = await results(gpu);
  const made = gpu.memory.textures;
  assert(made > 0);
  const fromBuffers = await results({ ...gpu, subgroupMinSize: 0, pipelines: new Map() });
  assert.equal(gpu.memory.textures, made);
  assert.deepEqual(fromBuffers, fromTextures);
  for (const values of fromTextures) assert(values.every(Number.isFinite));
}
