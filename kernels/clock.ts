/**
 * How long a tick of a GPU's timestamps is.
 *
 * @module
 */
import { type Gpu, readStaging } from "./gpu.ts";

/** Between the two looks at both clocks: what a look takes differs by a millisecond or two. */
const BETWEEN_MS = 200;

const ticks = new WeakMap<GPUDevice, Promise<number>>();

/**
 * Milliseconds of a tick of `timestamp-query`.
 *
 * WebGPU's are nanoseconds, and Dawn's are. Deno's are ticks of the driver: a nanosecond on NVIDIA and
 * Mesa's CPU adapter, 10 on AMD, 52 or 83 on Intel. There both clocks are compared, once a device, to about a percent.
 *
 * @see https://github.com/gfx-rs/wgpu/issues/6719
 */
export function tickMs(gpu: Gpu): Promise<number> {
  if (gpu.host !== "deno") return Promise.resolve(1e-6);
  const known = ticks.get(gpu.device) ?? measure(gpu);
  ticks.set(gpu.device, known);
  return known;
}

async function measure(gpu: Gpu): Promise<number> {
  const first = await look(gpu);
  await new Promise((resolve) => setTimeout(resolve, BETWEEN_MS));
  const last = await look(gpu);
  return tickOf((last.wall - first.wall) / (last.stamp - first.stamp));
}

/** A nanosecond where it is one but for the errors of the measurement. */
export function tickOf(measuredMs: number): number {
  return Math.abs(measuredMs / 1e-6 - 1) < 0.2 ? 1e-6 : measuredMs;
}

/** The GPU's clock and ours, at the same time but for a delay that every look has. */
async function look(gpu: Gpu): Promise<{ stamp: number; wall: number }> {
  const { device } = gpu;
  const querySet = device.createQuerySet({ type: "timestamp", count: 2 });
  const resolved = device.createBuffer({
    size: 16,
    usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC,
  });
  const staging = device.createBuffer({
    size: 16,
    usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
  });
  const encoder = device.createCommandEncoder();
  const timestampWrites = { querySet, beginningOfPassWriteIndex: 0, endOfPassWriteIndex: 1 };
  encoder.beginComputePass({ timestampWrites }).end();
  encoder.resolveQuerySet(querySet, 0, 2, resolved, 0);
  encoder.copyBufferToBuffer(resolved, 0, staging, 0, 16);
  const wall = performance.now();
  device.queue.submit([encoder.finish()]);
  const [stamp] = new BigUint64Array(await readStaging(gpu, staging));
  for (const resource of [querySet, resolved, staging]) resource.destroy();
  return { stamp: Number(stamp!), wall };
}
