import type { Tensor } from "./gpu.ts";
import { grid1d } from "./grid.ts";
import type { Plan } from "./plan.ts";
import { matrixOf, requireTensors } from "./shape.ts";
import backward from "./pool_backward.wgsl" with { type: "text" };
import forward from "./pool.wgsl" with { type: "text" };

/** Which tokens make an image's vector: the mean of the patches, or the class token. */
export type PoolMode = "avg" | "token";

/** Tensors of {@linkcode pool}. */
export interface PoolInput {
  /** `(batch, tokens, columns)`; the class token is the first. */
  x: Tensor;
  /** `(batch, columns)` f32, written. */
  y: Tensor;
  mode: PoolMode;
  /** Tokens before the patches, the class token among them. */
  prefix: number;
}

/** Tensors of {@linkcode poolBackward}. */
export interface PoolBackwardInput {
  /** `(batch, columns)` f32, gradient of the output. */
  dy: Tensor;
  /** `(batch, tokens, columns)`, gradient of the input, written: 0 for tokens that are not read. */
  dx: Tensor;
  mode: PoolMode;
  /** As in the forward. */
  prefix: number;
}

/** Checks a pooling and names its sizes for the kernels. */
function poolSizes(
  kernel: string,
  { tokens, pooled, mode, prefix }: {
    tokens: [name: string, Tensor];
    pooled: [name: string, Tensor];
    mode: PoolMode;
    prefix: number;
  },
): Record<"BATCH" | "TOKENS" | "COLUMNS" | "FIRST" | "LAST", number> {
  const [name, { shape }] = tokens;
  matrixOf(kernel, name, tokens[1]);
  const [batch, count, columns] = shape;
  if (batch === undefined || count === undefined || columns === undefined || shape.length > 3) {
    throw new RangeError(`Cannot run ${kernel}: ${name} is (${shape}), it must have 3 dimensions`);
  }
  requireTensors(kernel, [[...pooled, [batch, columns], "f32"]]);
  const [first, last] = mode === "avg" ? [prefix, count] : [0, 1];
  if (!(first >= 0 && first < last)) {
    throw new RangeError(
      `Cannot run ${kernel}: ${name} is (${shape}), there is no patch after ${prefix} tokens`,
    );
  }
  return { BATCH: batch, TOKENS: count, COLUMNS: columns, FIRST: first, LAST: last };
}

/**
 * Records the pooling of token rows into one vector an image.
 *
 * @throws {RangeError} If shapes do not fit, the columns are no multiple of 4, or no patch is left.
 * @throws {TypeError} If element types do not fit.
 */
export function pool(plan: Plan, { x, y, mode, prefix }: PoolInput): void {
  const label = "pool";
  const sizes = poolSizes(label, { tokens: ["x", x], pooled: ["y", y], mode, prefix });
  plan.add({
    label,
    code: forward,
    constants: sizes,
    types: { Activation: x.dtype },
    tensors: [x, y],
    groups: grid1d(sizes.BATCH * sizes.COLUMNS / 4, 64),
  });
}

/**
 * Records the gradient of {@linkcode pool}; every token row of `dx` is written.
 *
 * @throws {RangeError} If shapes do not fit, the columns are no multiple of 4, or no patch is left.
 * @throws {TypeError} If element types do not fit.
 */
export function poolBackward(plan: Plan, { dy, dx, mode, prefix }: PoolBackwardInput): void {
  const label = "pool_backward";
  const sizes = poolSizes(label, { tokens: ["dx", dx], pooled: ["dy", dy], mode, prefix });
  plan.add({
    label,
    code: backward,
    constants: sizes,
    types: { Activation: dx.dtype },
    tensors: [dy, dx],
    groups: grid1d(sizes.BATCH * sizes.TOKENS * sizes.COLUMNS / 4, 64),
  });
}
