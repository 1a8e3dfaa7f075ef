import { sizeOf, type Tensor } from "./gpu.ts";
import { grid1d } from "./grid.ts";
import type { Plan } from "./plan.ts";
import { matrixOf, requireTensors } from "./shape.ts";
import code from "./tokens.wgsl" with { type: "text" };

/** Tensors of {@linkcode tokens}. */
export interface TokensInput {
  /** `(batch * patches, columns)`, from the patch embedding. */
  patches: Tensor;
  /** `(prefix, columns)` f32: class token, then registers. */
  prefix: Tensor;
  /** `(batch, prefix + patches, columns)`, written: the residual stream. */
  x: Tensor;
}

/**
 * Records the assembly of an image's tokens: class token, registers, patches.
 *
 * @throws {RangeError} If shapes do not fit or the columns are no multiple of 4.
 * @throws {TypeError} If element types do not fit.
 * @see Darcet et al. 2023, arXiv:2309.16588
 */
export function tokens(plan: Plan, { patches, prefix, x }: TokensInput): void {
  const label = "tokens";
  const [prefixes, columns] = matrixOf(label, "prefix", prefix);
  const [batch = 0, count = 0] = x.shape;
  const perImage = count - prefixes;
  requireTensors(label, [
    ["x", x, [batch, count, columns], x.dtype],
    ["prefix", prefix, [prefixes, columns], "f32"],
    ["patches", patches, [batch * perImage, columns], patches.dtype],
  ]);
  plan.add({
    label,
    code,
    constants: {
      COUNT: sizeOf(x.shape) / 4,
      PATCHES: perImage,
      PREFIX: prefixes,
      COLUMNS: columns,
    },
    types: { Stream: x.dtype, Activation: patches.dtype },
    tensors: [patches, prefix, x],
    groups: grid1d(sizeOf(x.shape) / 4, 64),
  });
}
