/**
 * From pooled tokens to embeddings: linear, ReLU, dropout, linear, then rows of unit length. All of
 * it is f32: it is a small part of the work, and the loss hangs on it.
 *
 * @module
 */
import { activate } from "../kernels/activate.ts";
import { columnSum } from "../kernels/column_sum.ts";
import { gemm } from "../kernels/gemm.ts";
import { createTensor, type Gpu, type Tensor } from "../kernels/gpu.ts";
import { normalise, normaliseBackward } from "../kernels/normalise.ts";
import type { Plan } from "../kernels/plan.ts";
import type { Dropout } from "../kernels/sites.ts";
import { destroyTensors } from "./block.ts";
import type { Trainables } from "./trainables.ts";

/**
 * Records head and normalisation over tensors of its own. Where the adapter has no head, embeddings
 * are the pooled tokens, normalised.
 */
export class Head {
  readonly #gpu: Gpu;
  readonly #pooled: Tensor;
  readonly #dPooled: Tensor | null;
  readonly #trainables: Trainables;
  readonly #dropout: Dropout;
  /** Hidden layer before and after the activation, output and its gradient. */
  readonly #layers: { pre: Tensor; hidden: Tensor; out: Tensor; dPre: Tensor } | null;
  /** `(images)`: lengths of the rows before normalisation. */
  readonly #norms: Tensor;
  readonly #dOut: Tensor;
  /** `(images, D)`, rows of unit length. */
  readonly embeddings: Tensor;
  /** `(images, D)`: their gradient, to be filled before the backward. */
  readonly dEmbeddings: Tensor;

  /**
   * @param encoded Output of the encoder and where its gradient goes, `(images, C)`.
   * @param dropout Of the hidden layer.
   */
  constructor(
    gpu: Gpu,
    trainables: Trainables,
    encoded: { pooled: Tensor; dPooled: Tensor | null },
    dropout: Dropout,
  ) {
    const [images, width] = encoded.pooled.shape as [number, number];
    const { head } = trainables.adapter;
    const dim = head?.embedDim ?? width;
    const make = (columns: number) => createTensor(gpu, [images, columns]);
    this.#gpu = gpu;
    this.#trainables = trainables;
    this.#pooled = encoded.pooled;
    this.#dPooled = encoded.dPooled;
    this.#dropout = dropout;
    this.#layers = head && {
      pre: make(head.hidden),
      hidden: make(head.hidden),
      out: make(dim),
      dPre: make(head.hidden),
    };
    this.#norms = createTensor(gpu, [images]);
    this.#dOut = make(dim);
    this.embeddings = make(dim);
    this.dEmbeddings = make(dim);
  }

  /** `(images, D)`: {@linkcode embeddings} before they are brought to unit length. */
  get features(): Tensor {
    return this.#layers?.out ?? this.#pooled;
  }

  /** Frees the head's tensors, not its weights. */
  destroy(): void {
    destroyTensors(this.#gpu, [
      this.#layers,
      this.#norms,
      this.#dOut,
      this.embeddings,
      this.dEmbeddings,
    ]);
  }

  /** Records from the pooled tokens to {@linkcode embeddings}. */
  recordForward(plan: Plan): void {
    let x = this.#pooled;
    if (this.#layers) {
      const { pre, hidden, out } = this.#layers;
      gemm(plan, { ...this.#layer("head.0"), form: "nt", a: x, c: pre });
      activate(plan, { x: pre, y: hidden, activation: "relu", dropout: this.#dropout });
      gemm(plan, { ...this.#layer("head.3"), form: "nt", a: hidden, c: out });
      x = out;
    }
    normalise(plan, { x, y: this.embeddings, norms: this.#norms });
  }

  /** Records from {@linkcode dEmbeddings} to the gradients of the head and of the pooled tokens. */
  recordBackward(plan: Plan): void {
    const dPooled = this.#dPooled;
    if (!dPooled) throw new TypeError("Cannot record a backward: the encoder is for inference");
    const normalised = { dy: this.dEmbeddings, y: this.embeddings, norms: this.#norms };
    if (!this.#layers) return normaliseBackward(plan, { ...normalised, dx: dPooled });
    const { pre, hidden, dPre } = this.#layers;
    normaliseBackward(plan, { ...normalised, dx: this.#dOut });
    this.#recordGradients(plan, "head.3", { x: hidden, dy: this.#dOut });
    gemm(plan, {
      form: "nn",
      c: dPre,
      second: {
        a: this.#dOut,
        b: this.#trainables.parameter("head.3.weight"),
        scale: 1,
        dropout: this.#dropout,
      },
      actGrad: { act: "relu", pre },
      label: "head backward",
    });
    this.#recordGradients(plan, "head.0", { x: this.#pooled, dy: dPre });
    const weight = this.#trainables.parameter("head.0.weight");
    gemm(plan, { form: "nn", a: dPre, b: weight, c: dPooled, label: "head backward" });
  }

  #layer(name: string): { b: Tensor; bias: Tensor; label: string } {
    return {
      b: this.#trainables.parameter(`${name}.weight`),
      bias: this.#trainables.parameter(`${name}.bias`),
      label: "head forward",
    };
  }

  #recordGradients(plan: Plan, name: string, { x, dy }: { x: Tensor; dy: Tensor }): void {
    const dWeight = this.#trainables.gradient(`${name}.weight`)!;
    const dBias = this.#trainables.gradient(`${name}.bias`)!;
    gemm(plan, { form: "tn", a: dy, b: x, c: dWeight, accumulate: true, label: "head gradients" });
    columnSum(plan, { x: dy, y: dBias, accumulate: true });
  }
}
