/**
 * A GPU's timestamps, and how long a tick of them is.
 *
 * @module
 */
import { type Gpu, readStaging } from "./gpu.ts";

const BETWEEN_MS = 200; // the two looks at both clocks
const NANOSECOND = 1e-6; // in milliseconds

/** What both clocks said. */
export interface Look {
  /** Of the GPU, in ticks. */
  stamp: number;
  /** Of ours before the stamp was asked for, and when it was there, in milliseconds. */
  before: number;
  after: number;
}

const ticks = new WeakMap<GPUDevice, Promise<number>>();

/**
 * Milliseconds of a tick of `timestamp-query`.
 *
 * WebGPU's are nanoseconds, and Dawn's are. Deno's are ticks of the driver: a nanosecond on NVIDIA
 * and Mesa's CPU adapter, 10 on AMD, 52 or 83 on Intel. There both clocks are compared, once a device.
 *
 * @see https://github.com/gfx-rs/wgpu/issues/6719
 */
export function tickMs(gpu: Gpu): Promise<number> {
  if (gpu.host !== "deno") return Promise.resolve(NANOSECOND);
  const known = ticks.get(gpu.device) ?? measure(gpu);
  ticks.set(gpu.device, known);
  return known;
}

async function measure(gpu: Gpu): Promise<number> {
  await look(gpu); // behind what is queued, and what a driver does but once
  const first = await look(gpu);
  await new Promise((resolve) => setTimeout(resolve, BETWEEN_MS));
  return tickOf(first, await look(gpu));
}

/** A nanosecond if that can be, as both stamps lie between two times; else what is most likely. */
export function tickOf(first: Look, last: Look): number {
  const count = last.stamp - first.stamp;
  if (!(count > 0)) return NANOSECOND; // a clock that stands still says nothing
  const least = (last.before - first.after) / count;
  const most = (last.after - first.before) / count;
  return least <= NANOSECOND && NANOSECOND <= most ? NANOSECOND : (least + most) / 2;
}

async function look(gpu: Gpu): Promise<Look> {
  const before = performance.now();
  const [stamp] = await readStamps(gpu, 2, (encoder, querySet) => {
    const timestampWrites = { querySet, beginningOfPassWriteIndex: 0, endOfPassWriteIndex: 1 };
    encoder.beginComputePass({ timestampWrites }).end();
  });
  return { stamp: Number(stamp!), before, after: performance.now() };
}

/**
 * Submits what writes `count` timestamps, at most 4096, and waits for them.
 *
 * @param encode Must write all of them: to resolve one that was never written, a GPU waits for ever.
 * @throws {Error} If the device reported an error.
 */
export async function readStamps(
  gpu: Gpu,
  count: number,
  encode: (encoder: GPUCommandEncoder, querySet: GPUQuerySet) => void,
): Promise<BigUint64Array> {
  const { device } = gpu;
  const size = 8 * count;
  const querySet = device.createQuerySet({ type: "timestamp", count });
  const resolved = device.createBuffer({
    size,
    usage: GPUBufferUsage.QUERY_RESOLVE | GPUBufferUsage.COPY_SRC,
  });
  const staging = device.createBuffer({
    size,
    usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
  });
  try {
    const encoder = device.createCommandEncoder();
    encode(encoder, querySet);
    encoder.resolveQuerySet(querySet, 0, count, resolved, 0);
    encoder.copyBufferToBuffer(resolved, 0, staging, 0, size);
    device.queue.submit([encoder.finish()]);
    return new BigUint64Array(await readStaging(gpu, staging));
  } finally {
    for (const resource of [querySet, resolved, staging]) resource.destroy();
  }
}
