import type { Tensor } from "./gpu.ts";
import { fitsTexels, texelSource } from "./texels.ts";

/** The operands, from binding 5 on, and the aliases of their types. */
const OPERANDS = { a: "TypeA", b: "TypeB", a2: "TypeA2", b2: "TypeB2" };
const FIRST = 5;

/** Bindings of those operands that can be read as textures. */
export function texelBindings(operands: readonly (Tensor | undefined)[]): number[] {
  return operands.flatMap((operand, i) => operand && fitsTexels(operand) ? [FIRST + i] : []);
}

/**
 * Declares the operands for gemm.wgsl: `NAME_at(i)` is vec4 number i of one, as f32.
 *
 * @param texels Bindings that are read as textures.
 */
export function operandSource(texels: readonly number[]): string {
  return Object.entries(OPERANDS).map(([name, type], i) => {
    const binding = FIRST + i;
    return `alias ${type} = f32;\n` +
      (texels.includes(binding)
        ? texelSource(name, binding)
        : `@group(0) @binding(${binding}) var<storage, read> ${name}: array<vec4<${type}>>;
fn ${name}_at(i: u32) -> vec4f { return vec4f(${name}[i]); }`);
  }).join("\n");
}
