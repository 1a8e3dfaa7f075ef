import { hasEightLanes, type Tensor } from "./gpu.ts";
import { declareOperands } from "./operands.ts";
import type { Plan } from "./plan.ts";
import { matrixOf, requireTensors } from "./shape.ts";
import gradientCode from "./info_nce_gradient.wgsl" with { type: "text" };
import lseCode from "./info_nce_lse.wgsl" with { type: "text" };
import reduceCode from "./info_nce_reduce.wgsl" with { type: "text" };
import tile from "./info_nce_tile.wgsl" with { type: "text" };

/** Tensors of {@linkcode infoNce}, all f32. */
export interface InfoNceInput {
  /** `(n, d)`, rows of unit length. */
  query: Tensor;
  /** `(n, d)`, rows of unit length; row i matches query row i. */
  reference: Tensor;
  /** `(1)`, natural logarithm of the inverse temperature. CLIP starts at ln(1 / 0.07). */
  logitScale: Tensor;
  /** `(n)`, label smoothing of each pair, 0 to 1. */
  smoothing: Tensor;
  /** `(8)`, state of the loss scale: its first element multiplies the gradients. */
  scaler: Tensor;
  /** `(n)`, receives the log-sum-exp of each query's logits. */
  rowLse: Tensor;
  /** `(n)`, receives the log-sum-exp of each reference's logits. */
  columnLse: Tensor;
  /** `(n)`, receives the loss of each pair, both directions added, in nats. */
  pairLoss: Tensor;
  /** `(1)`, receives the loss in nats, not multiplied by the loss scale. */
  loss: Tensor;
  /** `(n, d)`, receives the gradient of `query`. */
  dQuery: Tensor;
  /** `(n, d)`, receives the gradient of `reference`. */
  dReference: Tensor;
  /** `(1)`, receives the gradient of `logitScale`. */
  dLogitScale: Tensor;
}

/**
 * Records the symmetric, weighted InfoNCE loss of a batch of pairs and all of its gradients.
 *
 * The loss is the mean over pairs and both directions of the cross entropy between the softmax of
 * `exp(logitScale) · query · referenceᵀ` and a target of `1 - smoothing + smoothing / n` on the pair
 * and `smoothing / n` elsewhere. The (n, n) logits are computed four times and never stored; sums
 * have a fixed order, so equal inputs give equal bits.
 *
 * @throws {RangeError} If shapes do not fit or d is no multiple of 4.
 * @throws {TypeError} If a tensor is not f32.
 * @see van den Oord et al. 2018, section 2.3, arXiv:1807.03748
 * @see Per-pair smoothing: Ji et al. 2024 (Game4Loc), arXiv:2409.16925
 */
export function infoNce(plan: Plan, input: InfoNceInput): void {
  const { query, reference, logitScale, smoothing, scaler, rowLse, columnLse, pairLoss } = input;
  const { loss, dQuery, dReference, dLogitScale } = input;
  const label = "info_nce";
  const [n, d] = matrixOf(label, "query", query);
  requireTensors(label, [
    ["query", query, [n, d], "f32"],
    ["reference", reference, [n, d], "f32"],
    ["logitScale", logitScale, [1], "f32"],
    ["smoothing", smoothing, [n], "f32"],
    ["scaler", scaler, [8], "f32"],
    ["rowLse", rowLse, [n], "f32"],
    ["columnLse", columnLse, [n], "f32"],
    ["pairLoss", pairLoss, [n], "f32"],
    ["loss", loss, [1], "f32"],
    ["dQuery", dQuery, [n, d], "f32"],
    ["dReference", dReference, [n, d], "f32"],
    ["dLogitScale", dLogitScale, [1], "f32"],
  ]);
  const shape = { N: n, D: d };
  const groups = [Math.ceil(n / 8), 1, 1] as const; // rows of a workgroup: ROWS of the tile
  const sides = [
    { own: query, other: reference, ownLse: rowLse, otherLse: columnLse, gradient: dQuery },
    { own: reference, other: query, ownLse: columnLse, otherLse: rowLse, gradient: dReference },
  ];
  const { source, asTexels } = declareOperands(
    [
      { name: "own", binding: 0, type: "f32", tensor: query },
      { name: "other", binding: 1, type: "f32", tensor: reference },
    ],
    hasEightLanes(plan.gpu),
  );
  sides.forEach(({ own, other, ownLse }, side) => {
    plan.add({
      label: "info_nce_lse",
      code: lseCode,
      include: [source, tile],
      constants: { ...shape, ADD: side },
      tensors: [own, other, logitScale, smoothing, ownLse, pairLoss],
      asTexels,
      groups,
      flops: 2 * n * n * d,
    });
  });
  for (const { own, other, ownLse, otherLse, gradient } of sides) {
    plan.add({
      label: "info_nce_gradient",
      code: gradientCode,
      include: [source, tile],
      constants: shape,
      tensors: [own, other, logitScale, smoothing, ownLse, otherLse, scaler, gradient],
      asTexels,
      groups,
      flops: 4 * n * n * d,
    });
  }
  plan.add({
    label: "info_nce_reduce",
    code: reduceCode,
    constants: shape,
    tensors: [pairLoss, query, dQuery, loss, dLogitScale],
    groups: [1, 1, 1],
    flops: 2 * n * d,
  });
}
