import { hasEightLanes, sizeOf, type Tensor, viewTensor } from "./gpu.ts";
import { grid1d } from "./grid.ts";
import { declareOperands } from "./operands.ts";
import type { Plan } from "./plan.ts";
import { requireTensors } from "./shape.ts";
import adamwCode from "./adamw.wgsl" with { type: "text" };
import scalerCode from "./scaler.wgsl" with { type: "text" };
import statsCode from "./grad_stats.wgsl" with { type: "text" };

/** State of loss scale, overflow test and clipping, as it lies in the `scaler` tensor. */
export interface ScalerState {
  /** Factor of the loss's gradients, for the next step; 1 in f32. */
  scale: number;
  /** Steps taken since `scale` last changed. */
  tracker: number;
  /** 1 when the last step was skipped for a gradient that is not finite, else 0. */
  foundInf: number;
  /** Steps skipped in a row. */
  skipped: number;
  /** Steps taken: Adam's t. */
  steps: number;
  /** L2 norm of the last step's unscaled gradients before clipping, the finite ones. */
  gradNorm: number;
  /** Largest magnitude among them. */
  gradMax: number;
  /** Factor that unscaled and clipped them by norm. */
  coef: number;
}

/** Names of the elements of the `scaler` tensor, f32[8], in order. */
export const SCALER_FIELDS: readonly (keyof ScalerState)[] = [
  "scale",
  "tracker",
  "foundInf",
  "skipped",
  "steps",
  "gradNorm",
  "gradMax",
  "coef",
];

/** The elements of a `scaler` tensor by name. */
export function readScaler(values: ArrayLike<number>): ScalerState {
  const entries = SCALER_FIELDS.map((name, i) => [name, values[i]!]);
  return Object.fromEntries(entries) as unknown as ScalerState;
}

/** Elements of a `scaler` tensor before the first step. */
export function initialScaler({ scale }: { scale: number }): Float32Array<ArrayBuffer> {
  const values = new Float32Array(SCALER_FIELDS.length);
  values[SCALER_FIELDS.indexOf("scale")] = scale;
  return values;
}

const STATS_LANES = 256; // LANES of grad_stats.wgsl
const MOST_PARTIALS = 256; // one invocation joins them

/**
 * Parameters that a CPU adapter updates at a time: they and what belongs to them pass through textures
 * of 4 MiB each.
 */
export const UPDATED_AT_ONCE = 2 ** 20;

/** Shape of the scratch tensor {@linkcode adamw} needs for `size` parameters. */
export function partialsShape(size: number): [groups: number, values: number] {
  return [Math.min(MOST_PARTIALS, Math.ceil(size / 4 / STATS_LANES)), 4];
}

/** Tensors and settings of {@linkcode adamw}. */
export interface AdamWInput {
  /** `(size)` f32, all trainables; updated. */
  parameters: Tensor;
  /** `(size)` f32, gradients times the loss scale; zero afterwards. */
  gradients: Tensor;
  /** `(size)` f32, first moment; zero before the first step. */
  m: Tensor;
  /** `(size)` f32, second moment; zero before the first step. */
  v: Tensor;
  /** `(8)` u32, seed, number and learning rate of the step. */
  step: Tensor;
  /** `(8)` f32, see {@linkcode SCALER_FIELDS}; updated. */
  scaler: Tensor;
  /** Scratch f32 of shape {@linkcode partialsShape}. */
  partials: Tensor;
  /** Decay of the first moment, default 0.9. */
  beta1?: number;
  /** Decay of the second moment, default 0.999. */
  beta2?: number;
  /** Added to the root of the second moment, default 1e-8. */
  eps?: number;
  /** Share of a parameter removed in a step, per unit of learning rate. */
  weightDecay: number;
  /** Largest magnitude of an unscaled gradient, 0: off. */
  clipValue: number;
  /** Largest L2 norm of the unscaled gradients, 0: off; comes before `clipValue`. */
  clipNorm: number;
  /** Halve the loss scale after a gradient that is not finite, double it after a run of good ones. */
  dynamicScale: boolean;
  /** Length of that run in steps, default 2000. */
  growthInterval?: number;
}

/**
 * Records one optimiser step: overflow test, unscaling, clipping, AdamW, the next loss scale, and
 * gradients set to zero.
 *
 * A gradient that is not finite skips the step: parameters, moments and Adam's step count stay.
 * Nothing is read back; the host follows in the `scaler` tensor.
 *
 * @throws {RangeError} If shapes do not fit or a beta is not between 0 and 1.
 * @throws {TypeError} If element types do not fit.
 * @see Loshchilov & Hutter 2019, algorithm 2, arXiv:1711.05101
 * @see Order of operations: torch.optim.AdamW, torch.amp.GradScaler, torch.nn.utils.clip_grad_norm_
 */
export function adamw(plan: Plan, input: AdamWInput): void {
  const { parameters, gradients, m, v, step, scaler, partials } = input;
  const { beta1 = 0.9, beta2 = 0.999, eps = 1e-8, growthInterval = 2000 } = input;
  const { weightDecay, clipValue, clipNorm, dynamicScale } = input;
  const size = sizeOf(parameters.shape);
  const [groups, values] = partialsShape(size);
  requireTensors("adamw", [
    ["parameters", parameters, [size], "f32"],
    ["gradients", gradients, [size], "f32"],
    ["m", m, [size], "f32"],
    ["v", v, [size], "f32"],
    ["step", step, [8], "u32"],
    ["scaler", scaler, [SCALER_FIELDS.length], "f32"],
    ["partials", partials, [groups, values], "f32"],
  ]);
  for (const [name, beta] of Object.entries({ beta1, beta2 })) {
    if (!(beta > 0 && beta < 1)) {
      throw new RangeError(
        `Cannot run adamw as ${name} must be between 0 and 1: current value is ${beta}`,
      );
    }
  }
  plan.add({
    label: "grad_stats",
    code: statsCode,
    constants: { SIZE: size },
    tensors: [gradients, scaler, partials],
    groups: [groups, 1, 1],
  });
  plan.add({
    label: "scaler",
    code: scalerCode,
    constants: {
      GROUPS: groups,
      CLIP_NORM: clipNorm,
      DYNAMIC: Number(dynamicScale),
      GROWTH_INTERVAL: growthInterval,
    },
    tensors: [partials, scaler],
    groups: [1, 1, 1],
  });
  recordUpdate(plan, input, {
    LOG_BETA1: Math.log(beta1),
    LOG_BETA2: Math.log(beta2),
    ONE_MINUS_BETA1: 1 - beta1,
    ONE_MINUS_BETA2: 1 - beta2,
    EPS: eps,
    WEIGHT_DECAY: weightDecay,
    CLIP_VALUE: clipValue,
  });
}

/** Records one dispatch; on a CPU adapter one for each part that passes through textures. */
function recordUpdate(
  plan: Plan,
  { parameters, gradients, m, v, step, scaler }: AdamWInput,
  constants: Record<string, number>,
): void {
  const isEight = hasEightLanes(plan.gpu);
  const size = sizeOf(parameters.shape);
  const most = isEight ? UPDATED_AT_ONCE : size;
  for (let start = 0; start < size; start += most) {
    const shape = [Math.min(most, size - start)];
    const parts = Object.entries({ parameters, gradients, m, v }).map(([name, whole], i) => ({
      ...{ name: `old_${name}`, binding: 6 + i, type: "f32", written: name },
      tensor: viewTensor(plan.gpu, whole, { start, shape }),
    }));
    const { source, asTexels } = declareOperands(parts, isEight);
    const tensors = parts.map(({ tensor }) => tensor); // of one shape: all fit, or none
    plan.add({
      label: "adamw",
      code: adamwCode,
      include: [source],
      constants: { SIZE: shape[0]!, ...constants },
      tensors: [step, scaler, ...tensors, ...(asTexels.length > 0 ? tensors : [])],
      asTexels,
      groups: grid1d(Math.ceil(shape[0]! / 4), 64),
      bytes: 32 * shape[0]!, // 4 arrays read and written
    });
  }
}
