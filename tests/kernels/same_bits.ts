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
 * @param pipelines How many read textures there; all read buffers the second time.
 * @param run Runs them on a device, which is the same one in another guise the second time, and
 *   gives what they wrote; nothing that it writes may be left from the first time.
 */
export async function assertSameBits(
  gpu: Gpu,
  pipelines: number,
  run: (device: Gpu) => Promise<Tensor[]>,
): Promise<void> {
  const results = async (device: Gpu) => {
    const written = await run(device);
    const values = await Promise.all(written.map((tensor) => readTensor(device, tensor)));
    const isTextured = (source: string) => source.includes("texture_storage_2d");
    return { values, textured: device.pipelines.keys().filter(isTextured).toArray().length };
  };
  const fromTextures = await results({ ...gpu, pipelines: new Map() });
  assert.equal(fromTextures.textured, pipelines);
  const fromBuffers = await results({ ...gpu, pipelines: new Map(), subgroupMinSize: 0 });
  assert.equal(fromBuffers.textured, 0);
  assert.deepEqual(fromBuffers.values, fromTextures.values);
  for (const values of fromTextures.values) assert(values.every(Number.isFinite));
}
