import { hasEightLanes, sizeOf, type Tensor } from "./gpu.ts";
import { grid1d } from "./grid.ts";
import { declareOperands } from "./operands.ts";
import type { Plan } from "./plan.ts";
import { matrixOf, requireTensors } from "./shape.ts";
import backward from "./swiglu_backward.wgsl" with { type: "text" };
import forward from "./swiglu.wgsl" with { type: "text" };
import sigmoid from "./sigmoid.wgsl" with { type: "text" };

/** Tensors of {@linkcode swiglu}, all `(rows, columns)`. */
export interface SwigluInput {
  /** Pre-activation that is gated by its own sigmoid. */
  gate: Tensor;
  /** Other branch of the gated layer. */
  value: Tensor;
  /** Written. */
  y: Tensor;
}

/** Tensors of {@linkcode swigluBackward}, all `(rows, columns)`. */
export interface SwigluBackwardInput {
  /** Gradient of the output. */
  dy: Tensor;
  /** As in the forward. */
  gate: Tensor;
  /** As in the forward. */
  value: Tensor;
  /** Gradient of `gate`, written. */
  dgate: Tensor;
  /** Gradient of `value`, written. */
  dvalue: Tensor;
}

/**
 * Records `y = silu(gate) ∘ value`.
 *
 * @throws {RangeError} If shapes differ or the columns are no multiple of 4.
 * @throws {TypeError} If element types differ.
 * @see Shazeer 2020, section 2, arXiv:2002.05202
 */
export function swiglu(plan: Plan, { gate, value, y }: SwigluInput): void {
  const label = "swiglu";
  const shape = matrixOf(label, "gate", gate);
  requireTensors(label, [["value", value, shape, gate.dtype], ["y", y, shape, gate.dtype]]);
  const count = sizeOf(shape) / 4;
  const { source, asTexels } = declareOperands(
    [
      { name: "gate", binding: 0, type: "Activation", tensor: gate },
      { name: "value", binding: 1, type: "Activation", tensor: value },
    ],
    hasEightLanes(plan.gpu),
  );
  plan.add({
    label,
    code: forward,
    include: [sigmoid, source],
    constants: { COUNT: count },
    types: { Activation: gate.dtype },
    tensors: [gate, value, y],
    asTexels,
    groups: grid1d(count, 64),
  });
}

/**
 * Records the gradients of {@linkcode swiglu} to both of its inputs.
 *
 * @throws {RangeError} If shapes differ or the columns are no multiple of 4.
 * @throws {TypeError} If element types differ.
 */
export function swigluBackward(
  plan: Plan,
  { dy, gate, value, dgate, dvalue }: SwigluBackwardInput,
): void {
  const label = "swiglu_backward";
  const shape = matrixOf(label, "gate", gate);
  requireTensors(label, [
    ["dy", dy, shape, gate.dtype],
    ["value", value, shape, gate.dtype],
    ["dgate", dgate, shape, gate.dtype],
    ["dvalue", dvalue, shape, gate.dtype],
  ]);
  const count = sizeOf(shape) / 4;
  const { source, asTexels } = declareOperands(
    [
      { name: "dy", binding: 0, type: "Activation", tensor: dy },
      { name: "gate", binding: 1, type: "Activation", tensor: gate },
      { name: "value", binding: 2, type: "Activation", tensor: value },
    ],
    hasEightLanes(plan.gpu),
  );
  plan.add({
    label,
    code: backward,
    include: [sigmoid, source],
    constants: { COUNT: count },
    types: { Activation: gate.dtype },
    tensors: [dy, gate, value, dgate, dvalue],
    asTexels,
    groups: grid1d(count, 64),
  });
}
