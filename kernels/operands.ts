import type { Tensor } from "./gpu.ts";
import { fitsTexels, MOST_TEXELS, texelSource } from "./texels.ts";

/** A tensor that a kernel reads four elements at a time. */
export interface Operand {
  /** In WGSL: `NAME_at(i)` is elements 4i .. 4i + 3. */
  name: string;
  binding: number;
  /** WGSL type of an element, mostly an alias. */
  type: string;
  /** Left out where the kernel's variant does not read it. */
  tensor: Tensor | undefined;
  /** WGSL type of what `NAME_at` returns four of, default f32; textures always give f32. */
  element?: string;
  /** Name of the array by which the kernel writes the tensor: as a buffer it is not bound twice. */
  written?: string;
}

/**
 * Declares operands, so that a kernel need not know whether they are buffers or textures.
 *
 * @param readsTexels Read the first {@linkcode MOST_TEXELS} that fit as textures, see `texels.ts`.
 * @returns WGSL to include, and the bindings that are textures, as `KernelRun.asTexels`.
 */
export function declareOperands(
  operands: readonly Operand[],
  readsTexels: boolean,
): { source: string; asTexels: number[] } {
  const asTexels: number[] = [];
  const sources = operands.map(({ name, binding, type, tensor, element = "f32", written }) => {
    if (readsTexels && asTexels.length < MOST_TEXELS && tensor && fitsTexels(tensor)) {
      asTexels.push(binding);
      return texelSource(name, binding, tensor.dtype);
    }
    const declared =
      `@group(0) @binding(${binding}) var<storage, read> ${name}: array<vec4<${type}>>;`;
    return `${written ? "" : declared}
fn ${name}_at(i: u32) -> vec4<${element}> { return vec4<${element}>(${written ?? name}[i]); }`;
  });
  return { source: sources.join("\n"), asTexels };
}
