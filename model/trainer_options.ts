/**
 * What a trainer is told, and what it tells.
 *
 * @module
 */
import type { PoolMode } from "../kernels/pool.ts";
import type { Adapter } from "./adapter.ts";
import type { Precision } from "./network.ts";
import type { Backbone } from "./weights.ts";

/** What is trained, on what, and how. */
export interface TrainerOptions {
  /** Frozen. */
  backbone: Backbone;
  /** Where training starts; its dropout is that of the run. */
  adapter: Adapter;
  /** Storage of weights and activations; what is trained is f32. */
  precision: Precision;
  /** Height of an image in pixels, a multiple of 16. */
  height: number;
  /** Width likewise. */
  width: number;
  /** What becomes of the tokens of an image. */
  pool: PoolMode;
  /** Pairs a step. */
  batchSize: number;
  /** Images embedded at a time; by default all, or equal parts that the adapter can bind. */
  microBatch?: number | null;
  /** Keep only the inputs of blocks and compute the rest again in the backward; default false. */
  checkpointing?: boolean;
  /** Merge the adapters into the weights each step; by default when there is no dropout, see `mergesBest`. */
  merge?: boolean;
  /** See `EncoderOptions`; default `pixels`. */
  input?: "pixels" | "rows";
  /** logit_scale is trained (default), or stays what the adapter says. */
  trainLogitScale?: boolean;
  /** AdamW's decay: lr times so much of every trained value, logit_scale's too, goes each step. */
  weightDecay: number;
  /** Largest absolute value of a gradient's element, 0: off. */
  clipValue: number;
  /** Largest L2 norm of all gradients, 0: off. */
  clipNorm: number;
  /** Key of the dropout masks. */
  seed: number;
  /** Loss scale at the start of an f16 run, default 65536; f32 has none. */
  lossScale?: number;
}

/** What became of one step. */
export interface StepResult {
  /** Counted from 0. */
  step: number;
  /** Learning rate. */
  lr: number;
  /** Mean over the pairs and both directions, in nats. */
  loss: number;
  /** ln of the inverse temperature before the step. */
  logitScale: number;
  /** A gradient was not finite, and nothing was updated. */
  skipped: boolean;
  /** Skipped steps in a row, this one included. */
  skippedInARow: number;
  /** Of the next step: a skipped one has halved it. 1 in f32. */
  lossScale: number;
  /** L2 norm of all gradients before clipping and without the loss scale, the finite ones. */
  gradNorm: number;
  /** Largest absolute value among them. */
  gradMax: number;
}

/** Where an optimiser is: all that a run needs to go on besides the adapter. */
export interface OptimiserState {
  /** Steps taken, skipped ones too: the number of the next. */
  step: number;
  /** `(size)`: AdamW's first moments, laid out as `Trainables.parameters`, padding included. */
  m: Float32Array;
  /** `(size)`: second moments likewise. */
  v: Float32Array;
  /** `(8)`: loss scale and what goes with it, see `SCALER_FIELDS`. */
  scaler: Float32Array;
}
