/**
 * The device and its memory: open an adapter, hold tensors, move bytes. With `plan.ts`, `clock.ts`,
 * `texels.ts` and `ring.ts` this is the only code that touches a `GPUDevice`.
 *
 * @module
 */

import { openDawn } from "./dawn.ts";

/** Type of the elements of a {@linkcode Tensor}. */
export type DType = "f32" | "f16" | "u32" | "u8";

const BYTES: Record<DType, number> = { f32: 4, f16: 2, u32: 4, u8: 1 };

/**
 * Whose WebGPU it is: Deno's, or Dawn's (Chromium's). `dawn-null` is Dawn without an adapter: it
 * compiles kernels and runs nothing.
 */
export type Host = "deno" | "dawn" | "dawn-null";

/** The device has too little memory, or cannot bind so much of it at a time. */
export class GpuMemoryError extends RangeError {}

/** An open device. Close it with {@linkcode closeGpu}. */
export interface Gpu {
  readonly device: GPUDevice;
  readonly host: Host;
  /** Adapter name, as printed in logs and benchmarks. */
  readonly name: string;
  /** True for a software adapter, such as Mesa's llvmpipe. */
  readonly isCpu: boolean;
  /** The adapter computes with f16. */
  readonly hasF16: boolean;
  /** GPU time can be measured. */
  readonly hasTimestamps: boolean;
  /**
   * The fewest lanes that a subgroup of any kernel may have, 0 where shuffles cannot be used: 32 on
   * NVIDIA; AMD's compiler takes 32 or 64, Intel's 8, 16 or 32, as suits the kernel.
   */
  readonly subgroupMinSize: number;
  /**
   * A lane has 255 registers of 32 bits, as on NVIDIA's and AMD's GPUs. Intel's and Apple's have 128,
   * and any other is taken to have no more: what does not fit is kept in memory.
   */
  readonly hasManyRegisters: boolean;
  /**
   * Subgroups of 32 lanes can multiply 16 × 16 matrices of f16 into sums in f32, and a workgroup has
   * the 32 KiB that the kernels pass them through. Only Dawn knows how to ask for it.
   */
  readonly hasMatrix: boolean;
  /** Pipelines by source and constants. */
  readonly pipelines: Map<string, GPUComputePipeline>;
  /** Textures that tensors are read through, see `texels.ts`. */
  readonly textures: Map<string, GPUTexture>;
  /** Stands in for a binding that a variant of a kernel declares but does not read. */
  readonly none: Tensor;
  /** As `none`, for a binding that could be written. */
  readonly noneWritten: Tensor;
  /** Bytes of all live tensors, and the most there ever were; beside them those of `textures`. */
  memory: { current: number; peak: number; textures: number };
  /** What {@linkcode allocate} frees if it fails. */
  undo: Set<GPUBuffer> | null;
  /** The first error that the device reported: nothing it computes can be trusted after one. */
  failure: Error | null;
  /** Entry point of the host, which must outlive the device. */
  readonly api: GPU;
}

/** A row-major array in GPU memory, whole or a view. Whoever creates it destroys it. */
export interface Tensor {
  readonly buffer: GPUBuffer;
  /** Bytes from the start of the buffer. */
  readonly offset: number;
  readonly shape: readonly number[];
  readonly dtype: DType;
}

/** Storage buffers that a kernel binds at most: those of a GEMM. WebGPU promises 8. */
const MOST_BUFFERS = 9;

const NO_DRIVER = "Cannot open a GPU: no WebGPU adapter answered, install a Vulkan driver " +
  "(mesa-vulkan-drivers for a CPU adapter) and check it with `vulkaninfo --summary`";
// As on the adapter of Mesa 22.3 (Debian 12).
const NO_ADAPTER_OF_DAWN = "Cannot open a GPU: no adapter is good enough for Dawn, which asks " +
  "more of a driver than Deno: install a newer driver, or leave --gpu dawn (GPU=dawn) out";

/** Dawn's feature of matrix units. */
export const MATRIX_UNITS = "chromium-experimental-subgroup-matrix" as GPUFeatureName;

/** What it adds to an adapter's description. */
interface MatrixInfo {
  subgroupMatrixConfigs?: Iterable<
    { componentType: string; resultComponentType: string } & Record<"M" | "N" | "K", number>
  >;
}

/** Options of {@linkcode openGpu}. */
export interface OpenOptions {
  /** Ask for subgroup operations (default true); false tests the kernels that do without. */
  subgroups?: boolean;
  /** By default Dawn where the environment says `GPU=dawn`, else Deno. */
  host?: Host;
}

/**
 * Opens the fastest adapter with all of its limits.
 *
 * @returns The device. A software adapter is taken when there is no other: `isCpu` says so.
 * @throws {Error} If no adapter answers, or its kernels bind too few buffers.
 */
export async function openGpu(
  { subgroups = true, host = environment("GPU") === "dawn" ? "dawn" : "deno" }: OpenOptions = {},
): Promise<Gpu> {
  prepareDrivers();
  const api = host === "deno" ? navigator.gpu : await openDawn({ isNull: host === "dawn-null" });
  const adapter = await api?.requestAdapter({ powerPreference: "high-performance" });
  if (!api || !adapter) {
    throw new Error(host === "deno" ? NO_DRIVER : NO_ADAPTER_OF_DAWN);
  }
  const { info, limits } = adapter;
  if (limits.maxStorageBuffersPerShaderStage < MOST_BUFFERS && host !== "dawn-null") {
    throw new Error(
      `Cannot use adapter "${info.description || info.device}": its kernels bind at most ` +
        `${limits.maxStorageBuffersPerShaderStage} buffers, ours up to ${MOST_BUFFERS}`,
    );
  }
  const wanted: GPUFeatureName[] = ["shader-f16", "timestamp-query"];
  const features = wanted.filter((feature) => adapter.features.has(feature));
  const min = subgroupMinSizeOf(info);
  const descriptor: GPUDeviceDescriptor = {
    requiredFeatures: features,
    requiredLimits: {
      maxBufferSize: limits.maxBufferSize,
      maxStorageBufferBindingSize: limits.maxStorageBufferBindingSize,
      maxStorageBuffersPerShaderStage: limits.maxStorageBuffersPerShaderStage,
      maxComputeWorkgroupStorageSize: limits.maxComputeWorkgroupStorageSize,
      maxComputeInvocationsPerWorkgroup: limits.maxComputeInvocationsPerWorkgroup,
      maxComputeWorkgroupSizeX: limits.maxComputeWorkgroupSizeX,
    },
  };
  // Deno does not list `subgroups` among an adapter's features, yet grants it: ask, and do without.
  let device: GPUDevice | null = null;
  if (subgroups && min > 0) {
    const matrix = adapter.features.has(MATRIX_UNITS) ? [MATRIX_UNITS] : [];
    const requiredFeatures = [...features, "subgroups" as GPUFeatureName, ...matrix];
    device = await adapter.requestDevice({ ...descriptor, requiredFeatures }).catch(() => null);
  }
  const subgroupMinSize = device === null ? 0 : min;
  device ??= await adapter.requestDevice(descriptor);

  const gpu: Gpu = {
    device,
    host,
    api,
    name: info.description || info.device || "unnamed adapter",
    isCpu: info.isFallbackAdapter,
    hasF16: device.features.has("shader-f16"),
    hasTimestamps: device.features.has("timestamp-query"),
    subgroupMinSize,
    hasManyRegisters: isOfManyRegisters(info),
    hasMatrix: subgroupMinSize === 32 && canMultiply(device, info),
    pipelines: new Map(),
    textures: new Map(),
    none: placeholder(device),
    noneWritten: placeholder(device),
    memory: { current: 0, peak: 0, textures: 0 },
    undo: null,
    failure: null,
  };
  device.addEventListener("uncapturederror", (event) => {
    const { error } = event as GPUUncapturedErrorEvent;
    const isMemory = error.constructor.name === "GPUOutOfMemoryError"; // of Deno or of Dawn
    gpu.failure ??= new (isMemory ? GpuMemoryError : Error)(`GPU error: ${error.message}`);
  });
  device.lost.then(({ reason, message }) => {
    if (reason !== "destroyed") gpu.failure ??= new Error(`GPU lost: ${message || reason}`);
  });
  return gpu;
}

/**
 * Deno does not know how many lanes a subgroup has on Metal, and says 4 to 64. No GPU of a Mac has
 * fewer than 8: Apple's have 32, AMD's 32 or 64, Intel's 8, 16 or 32.
 */
function subgroupMinSizeOf({ subgroupMinSize }: GPUAdapterInfo): number {
  return Deno.build.os === "darwin" && subgroupMinSize > 0
    ? Math.max(8, subgroupMinSize)
    : subgroupMinSize;
}

/** PCI numbers of the makers, which Deno gives; on Metal it gives the name only, as Dawn everywhere. */
function isOfManyRegisters({ vendor, description }: GPUAdapterInfo): boolean {
  const [nvidia, amd] = [0x10de, 0x1002];
  return [nvidia, amd].includes(Number(vendor)) ||
    /nvidia|\bamd\b/i.test(`${vendor} ${description}`);
}

/** Whether the device multiplies 16 × 16 matrices of f16 into f32, with the memory that it takes. */
function canMultiply(
  { features, limits }: GPUDevice,
  { subgroupMaxSize, subgroupMatrixConfigs = [] }: GPUAdapterInfo & MatrixInfo,
): boolean {
  return features.has("shader-f16") && features.has(MATRIX_UNITS) && subgroupMaxSize === 32 &&
    limits.maxComputeWorkgroupStorageSize >= 2 ** 15 &&
    [...subgroupMatrixConfigs].some(({ componentType, resultComponentType, M, N, K }) =>
      componentType === "f16" && resultComponentType === "f32" &&
      [M, N, K].every((size) => size === 16)
    );
}

/**
 * Variables that drivers want on Linux, where the user has not set them.
 *
 * Without the first, Mesa complains on stderr, once a device. The second leaves OpenGL out, which
 * Deno would try beside Vulkan: it has too few bindings for these kernels, and its loader (libEGL)
 * frees the state of a thread a second time when the process ends while that thread does, so that
 * glibc aborts the process now and then. The third is for Mesa's CPU adapter, which gives each thread
 * the same share of a dispatch and waits for the last one: with a thread a core a slow core holds up
 * the others, with more of them the system moves those that wait to cores that are done.
 */
const DRIVER_VARIABLES = {
  XDG_RUNTIME_DIR: "/tmp",
  DENO_WEBGPU_BACKEND: "vulkan",
  LP_NUM_THREADS: String(4 * navigator.hardwareConcurrency),
};

function prepareDrivers(): void {
  if (Deno.build.os !== "linux") return;
  for (const [variable, value] of Object.entries(DRIVER_VARIABLES)) {
    if (environment(variable) === undefined) Deno.env.set(variable, value);
  }
}

/** A variable of the environment, null where we may not look. */
function environment(variable: string): string | undefined | null {
  const { state } = Deno.permissions.querySync({ name: "env", variable });
  return state === "granted" ? Deno.env.get(variable) : null;
}

function placeholder(device: GPUDevice): Tensor {
  const buffer = device.createBuffer({
    size: 256,
    usage: GPUBufferUsage.STORAGE | GPUBufferUsage.UNIFORM,
  });
  return { buffer, offset: 0, shape: [64], dtype: "f32" };
}

/** Whether the adapter runs 8 lanes as one SIMD vector, as Mesa's CPU adapter does. */
export function hasEightLanes({ isCpu, subgroupMinSize }: Gpu): boolean {
  return isCpu && subgroupMinSize === 8;
}

/** Releases the device and everything made on it. */
export function closeGpu(gpu: Gpu): void {
  gpu.device.destroy();
}

/**
 * Throws what the device has reported since it was opened.
 *
 * @throws {Error} If a command was refused, memory ran out, or the device was lost.
 */
export function checkGpu(gpu: Gpu): void {
  if (gpu.failure) throw gpu.failure;
}

/**
 * Waits for the GPU, and for errors that it reports late, as that its memory is full.
 *
 * @throws {Error} As {@linkcode checkGpu}.
 */
export async function settleGpu(gpu: Gpu): Promise<void> {
  await gpu.device.queue.onSubmittedWorkDone();
  checkGpu(gpu);
}

/** Number of elements of a tensor of this shape. */
export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((size, n) => size * n, 1);
}

/** Bytes of an element. */
export function elementBytes(dtype: DType): number {
  return BYTES[dtype];
}

/** Bytes a tensor's elements take. */
export function byteSize({ shape, dtype }: Pick<Tensor, "shape" | "dtype">): number {
  return sizeOf(shape) * BYTES[dtype];
}

/**
 * Allocates a tensor of zeros.
 *
 * @throws {GpuMemoryError} If it is larger than the adapter can bind.
 */
export function createTensor(gpu: Gpu, shape: readonly number[], dtype: DType = "f32"): Tensor {
  const bytes = byteSize({ shape, dtype });
  // Kernels read vec4: 16 bytes is the least size and the granule of every binding.
  const size = Math.max(16, Math.ceil(bytes / 16) * 16);
  const { maxStorageBufferBindingSize: most } = gpu.device.limits;
  if (!(size <= most)) {
    throw new GpuMemoryError(
      `Cannot allocate a (${shape}) ${dtype} tensor: it takes ${size} bytes, ` +
        `the adapter binds at most ${most}`,
    );
  }
  const buffer = gpu.device.createBuffer({
    size,
    usage: GPUBufferUsage.STORAGE | GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_SRC |
      GPUBufferUsage.COPY_DST,
  });
  gpu.memory.current += size;
  gpu.memory.peak = Math.max(gpu.memory.peak, gpu.memory.current);
  gpu.undo?.add(buffer);
  return { buffer, offset: 0, shape, dtype };
}

/** Frees a tensor and all its views; the tensor must not be used again. */
export function destroyTensor(gpu: Gpu, tensor: Tensor): void {
  destroyBuffer(gpu, tensor.buffer);
}

function destroyBuffer(gpu: Gpu, buffer: GPUBuffer): void {
  gpu.undo?.delete(buffer);
  gpu.memory.current -= buffer.size;
  buffer.destroy();
}

/** Builds something of many tensors; if that throws, those it has made are freed. */
export function allocate<T>(gpu: Gpu, build: () => T): T {
  if (gpu.undo !== null) return build(); // a part of something larger, which frees it
  const made = gpu.undo = new Set<GPUBuffer>();
  try {
    return build();
  } catch (error) {
    for (const buffer of made) destroyBuffer(gpu, buffer);
    throw error;
  } finally {
    gpu.undo = null;
  }
}

/**
 * Waits until something is ready to run; if it cannot be, it is freed.
 *
 * @throws {Error} What `ready` throws.
 */
export async function readyOrFreed<T extends { ready(): Promise<void>; destroy(): void }>(
  made: T,
): Promise<T> {
  try {
    await made.ready();
  } catch (error) {
    made.destroy();
    throw error;
  }
  return made;
}

/**
 * A part of a tensor as a tensor of its own, sharing its memory.
 *
 * @param start First element, counted in the whole tensor.
 * @throws {RangeError} If the part reaches past the end or starts where no binding may.
 */
export function viewTensor(
  gpu: Gpu,
  tensor: Tensor,
  { start, shape }: { start: number; shape: readonly number[] },
): Tensor {
  const offset = tensor.offset + start * BYTES[tensor.dtype];
  const align = gpu.device.limits.minStorageBufferOffsetAlignment;
  const end = start + sizeOf(shape);
  if (!(start >= 0) || !(end <= sizeOf(tensor.shape)) || offset % align !== 0) {
    throw new RangeError(
      `Cannot view (${shape}) from element ${start} of (${tensor.shape}): it ends at element ` +
        `${end} and starts at byte ${offset}, which must be a multiple of ${align}`,
    );
  }
  return { buffer: tensor.buffer, offset, shape, dtype: tensor.dtype };
}

/** Host arrays a tensor is written from. */
export type HostArray = Float32Array | Float16Array | Uint32Array | Uint8Array;

const ARRAYS = { f32: Float32Array, f16: Float16Array, u32: Uint32Array, u8: Uint8Array };

/**
 * Copies host values over the start of a tensor. f32 values are rounded for an f16 tensor.
 *
 * Copies are multiples of 4 bytes: where u8 or f16 values end inside one, its rest becomes zero.
 *
 * @throws {RangeError} If there are more values than the tensor holds.
 * @throws {TypeError} If the array does not have the tensor's type.
 */
export function writeTensor(gpu: Gpu, tensor: Tensor, values: HostArray): void {
  // Deno aborts the process when a write reads past its source: nothing unchecked goes down.
  if (!(values.length <= sizeOf(tensor.shape))) {
    throw new RangeError(
      `Cannot write ${values.length} values to (${tensor.shape}): it holds ${sizeOf(tensor.shape)}`,
    );
  }
  const data = tensor.dtype === "f16" && values instanceof Float32Array
    ? new Float16Array(values)
    : values;
  if (!(data instanceof ARRAYS[tensor.dtype])) {
    throw new TypeError(`Cannot write ${data.constructor.name} to a ${tensor.dtype} tensor`);
  }
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  const whole = bytes.byteLength - bytes.byteLength % 4;
  const { queue } = gpu.device;
  if (whole > 0) {
    queue.writeBuffer(tensor.buffer, tensor.offset, bytes as Uint8Array<ArrayBuffer>, 0, whole);
  }
  if (whole < bytes.byteLength) {
    const tail = new Uint8Array(4);
    tail.set(bytes.subarray(whole));
    queue.writeBuffer(tensor.buffer, tensor.offset + whole, tail);
  }
}

/**
 * Copies host values into a new tensor; see {@linkcode writeTensor}.
 *
 * @throws {RangeError} If the number of values is not that of the shape.
 * @throws {TypeError} If the array does not have the tensor's type.
 * @throws {GpuMemoryError} If it is larger than the adapter can bind.
 */
export function uploadTensor(
  gpu: Gpu,
  values: HostArray,
  shape: readonly number[],
  dtype: DType = "f32",
): Tensor {
  if (values.length !== sizeOf(shape)) {
    throw new RangeError(
      `Cannot upload ${values.length} values as (${shape}): the shape holds ${sizeOf(shape)}`,
    );
  }
  return allocate(gpu, () => {
    const tensor = createTensor(gpu, shape, dtype);
    writeTensor(gpu, tensor, values);
    return tensor;
  });
}

/** Bytes of staging memory for a tensor: copies are multiples of 4. */
export function stagingSize(tensor: Tensor): number {
  return Math.ceil(byteSize(tensor) / 4) * 4;
}

/** Reads the elements of a tensor of this type and shape from mapped bytes. */
export function decodeElements(bytes: ArrayBuffer, { shape, dtype }: Tensor): Float32Array {
  const size = sizeOf(shape);
  switch (dtype) {
    case "f32":
      return new Float32Array(bytes, 0, size);
    case "f16":
      return new Float32Array(new Float16Array(bytes, 0, size));
    case "u32":
      return new Float32Array(new Uint32Array(bytes, 0, size));
    case "u8":
      return new Float32Array(new Uint8Array(bytes, 0, size));
  }
}

/**
 * Waits for what is queued, and copies staging memory to the host; it stays mapped.
 *
 * @throws {Error} As {@linkcode checkGpu}.
 */
export async function readStaging(gpu: Gpu, staging: GPUBuffer): Promise<ArrayBuffer> {
  try {
    await staging.mapAsync(GPUMapMode.READ);
  } catch (error) {
    await new Promise((resolve) => setTimeout(resolve)); // Deno says later why it fails
    checkGpu(gpu);
    throw error;
  }
  checkGpu(gpu);
  return staging.getMappedRange().slice(0);
}

/**
 * Copies a tensor back to the host as f32, which u32 values above 2²⁴ are rounded to; waits for
 * everything queued before it.
 *
 * @throws {Error} If the device reported an error.
 */
export async function readTensor(gpu: Gpu, tensor: Tensor): Promise<Float32Array> {
  const size = stagingSize(tensor);
  const staging = gpu.device.createBuffer({
    size,
    usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
  });
  try {
    const encoder = gpu.device.createCommandEncoder();
    encoder.copyBufferToBuffer(tensor.buffer, tensor.offset, staging, 0, size);
    gpu.device.queue.submit([encoder.finish()]);
    return decodeElements(await readStaging(gpu, staging), tensor);
  } finally {
    staging.destroy();
  }
}
