/**
 * Tensors as textures: a kernel that reads one so has it copied into a texture before it runs.
 *
 * Mesa's CPU adapter reads a storage buffer one lane after the other, each with a bounds check of
 * its own, and a texture eight lanes at a time: that is worth a copy where a kernel reads a tensor
 * often.
 *
 * @module
 */
import { byteSize, type Gpu, sizeOf, type Tensor } from "./gpu.ts";

/** Texels in a row of a texture, as many as every WebGPU adapter grants: tensors are folded to it. */
const WIDTH = 8192;
/** Rows at most: 64 MiB of f32. */
const HEIGHT = 512;

/** Whether a tensor is of a type and size that can be read as a texture. */
export function fitsTexels({ shape, dtype }: Pick<Tensor, "shape" | "dtype">): boolean {
  const size = sizeOf(shape);
  const isWhole = size > 0 && size % 4 === 0;
  return (dtype === "f32" || dtype === "f16") && isWhole && size <= 4 * WIDTH * HEIGHT;
}

/** WGSL that declares such a tensor, and `NAME_at(i)`: its elements 4i .. 4i + 3 as f32. */
export function texelSource(name: string, binding: number): string {
  return `@group(0) @binding(${binding}) var ${name}: texture_2d<f32>;
fn ${name}_at(i: u32) -> vec4f { return textureLoad(${name}, vec2u(i % ${WIDTH}, i / ${WIDTH}), 0); }`;
}

/**
 * The texture that a kernel's `slot`th such tensor passes through, for all kernels the same. Sizes
 * are powers of 2; each is made when it is first wanted and lives as long as the device: room of
 * the device's own, as its pipelines are, which the memory of tensors does not count.
 */
export function texelsFor(gpu: Gpu, { shape, dtype }: Tensor, slot: number): GPUTexture {
  const rows = 2 ** Math.ceil(Math.log2(Math.ceil(sizeOf(shape) / 4 / WIDTH)));
  const key = `${slot} ${dtype} ${rows}`;
  let texture = gpu.texels.get(key);
  if (texture === undefined) {
    texture = gpu.device.createTexture({
      label: `texels ${key}`,
      size: [WIDTH, rows],
      format: dtype === "f16" ? "rgba16float" : "rgba32float",
      usage: GPUTextureUsage.TEXTURE_BINDING | GPUTextureUsage.COPY_DST,
    });
    gpu.texels.set(key, texture);
  }
  return texture;
}

/** Encodes the copy of a whole tensor that {@linkcode fitsTexels}. */
export function copyToTexels(
  encoder: GPUCommandEncoder,
  tensor: Tensor,
  texture: GPUTexture,
): void {
  const { buffer, offset, shape } = tensor;
  const texels = sizeOf(shape) / 4;
  const bytesPerRow = WIDTH * 4 * byteSize({ shape: [1], dtype: tensor.dtype });
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
