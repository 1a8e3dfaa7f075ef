/**
 * Tensors as textures: a kernel that reads one so has it copied into a texture before it runs.
 *
 * Mesa's CPU adapter reads a storage buffer one lane after the other, each with a bounds check of
 * its own, and a texture eight lanes at a time. On Zen 3 a vec4 takes 13 ns from a buffer, 0.5 from a
 * texture and 2.1 to be copied, so that it pays even where a tensor is read once. They are storage
 * textures, for Mesa calls a function to load from a sampled one, which looks up the mipmap of each
 * lane: 130 instructions, where a storage texture takes 42 and no call.
 *
 * @module
 */
import { byteSize, type DType, elementBytes, type Gpu, sizeOf, type Tensor } from "./gpu.ts";

/** Such tensors of a kernel: as many storage textures as every WebGPU adapter grants. */
export const MOST_TEXELS = 4;
/** Texels in a row: tensors are folded to it. */
const WIDTH = 1024;
/**
 * Texels behind each row that hold nothing: a line of the cache. Without them what lies some rows of
 * a tensor apart, as what the lanes read at a time does, would meet in a few sets of the L1 cache.
 */
const PAD = 4;
/** Rows at most, which every WebGPU adapter grants: 128 MiB of f32, as much as Mesa binds. */
const HEIGHT = 8192;

/** Whether a tensor is of a type and size that can be read as a texture. */
export function fitsTexels({ shape, dtype }: Pick<Tensor, "shape" | "dtype">): boolean {
  const size = sizeOf(shape);
  const isWhole = size > 0 && size % 4 === 0;
  return (dtype === "f32" || dtype === "f16") && isWhole && size <= 4 * WIDTH * HEIGHT;
}

/** @throws {TypeError} If the tensor does not fit. */
export function requireTexels(label: string, tensor: Tensor): void {
  const { shape, dtype } = tensor;
  if (!fitsTexels(tensor)) {
    throw new TypeError(
      `Cannot read (${shape}) ${dtype} as a texture in kernel "${label}": it must be f32 or f16 and ` +
        `have a multiple of 4 elements, ${4 * WIDTH * HEIGHT} at most`,
    );
  }
}

function formatOf(dtype: DType): GPUTextureFormat {
  return dtype === "f16" ? "rgba16float" : "rgba32float";
}

/** WGSL that declares such a tensor, and `NAME_at(i)`: its elements 4i .. 4i + 3 as f32. */
export function texelSource(name: string, binding: number, dtype: DType): string {
  return `@group(0) @binding(${binding}) var ${name}: texture_storage_2d<${formatOf(dtype)}, read>;
fn ${name}_at(i: u32) -> vec4f {
  return textureLoad(${name}, vec2u(i % ${WIDTH}, i / ${WIDTH}));
}`;
}

/** Bytes of the texture that a tensor wants: rows are rounded up, by a quarter at most. */
export function texelBytes({ shape, dtype }: Pick<Tensor, "shape" | "dtype">): number {
  return byteSize({ shape: [rowsOf(shape), WIDTH + PAD, 4], dtype });
}

/** Rounded, so that a texture that is too small is so by enough to be worth another one. */
function rowsOf(shape: readonly number[]): number {
  const rows = Math.ceil(sizeOf(shape) / 4 / WIDTH);
  const step = 2 ** Math.max(0, Math.floor(Math.log2(rows)) - 2);
  return Math.ceil(rows / step) * step;
}

/**
 * The texture that a kernel's `slot`th such tensor passes through, for all kernels the same. Where it
 * is too small for a tensor a larger one takes its place for kernels to come; both live as long as
 * the device. So ask for the largest first.
 */
export function textureFor(gpu: Gpu, { shape, dtype }: Tensor, slot: number): GPUTexture {
  const key = `${slot} ${dtype}`;
  const rows = rowsOf(shape);
  let texture = gpu.textures.get(key);
  if (texture === undefined || texture.height < rows) {
    texture = gpu.device.createTexture({
      label: `texels ${key}`,
      size: [WIDTH + PAD, rows],
      format: formatOf(dtype),
      usage: GPUTextureUsage.STORAGE_BINDING | GPUTextureUsage.COPY_DST,
    });
    gpu.textures.set(key, texture);
    gpu.memory.textures += texelBytes({ shape, dtype });
  }
  return texture;
}

/** Encodes the copy of a whole tensor that {@linkcode fitsTexels}. */
export function copyToTexels(
  encoder: GPUCommandEncoder,
  tensor: Tensor,
  texture: GPUTexture,
): void {
  const { buffer, offset, shape, dtype } = tensor;
  const texels = sizeOf(shape) / 4;
  const bytesPerRow = WIDTH * 4 * elementBytes(dtype);
  const rows = Math.floor(texels / WIDTH);
  if (rows > 0) {
    encoder.copyBufferToTexture({ buffer, offset, bytesPerRow }, { texture }, [WIDTH, rows]);
  }
  const rest = texels % WIDTH;
  if (rest > 0) {
    const source = { buffer, offset: offset + rows * bytesPerRow, bytesPerRow };
    encoder.copyBufferToTexture(source, { texture, origin: [0, rows] }, [rest, 1]);
  }
}
