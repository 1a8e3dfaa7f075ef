import {
  createTensor,
  type DType,
  type Gpu,
  hasEightLanes,
  sizeOf,
  type Tensor,
  viewTensor,
} from "./gpu.ts";
import { defaultLayout, GEMM_LAYOUTS, type GemmLayout, layoutsFor } from "./gemm_layout.ts";
import { grid1d } from "./grid.ts";
import { declareOperands } from "./operands.ts";
import type { Plan } from "./plan.ts";
import { requireDropout, requireTensors } from "./shape.ts";
import gelu from "./gelu.wgsl" with { type: "text" };
import type { Dropout } from "./sites.ts";
import { recordTuned } from "./tune.ts";
import random from "./random.wgsl" with { type: "text" };
import relu from "./relu.wgsl" with { type: "text" };
import loads from "./gemm.wgsl" with { type: "text" };
import epilogue from "./gemm_epilogue.wgsl" with { type: "text" };
import join from "./gemm_join.wgsl" with { type: "text" };

/** Which operand is stored transposed: y = x·Wᵀ is `nt`, dx = dy·W is `nn`, dW = dyᵀ·x is `tn`. */
export type GemmForm = "nt" | "nn" | "tn";

/** A non-linear function. */
export type Activation = "gelu" | "relu";

/** Operands, epilogue and destination of one GEMM. */
export interface GemmInput {
  form: GemmForm;
  /** `nt`, `nn`: `(M, K)`. `tn`: `(K, M)`. Left out when only `second` is wanted. */
  a?: Tensor;
  /** `nt`: `(N, K)`. `nn`, `tn`: `(K, N)`. */
  b?: Tensor;
  /**
   * Matrix units may round `b` to f16 where `a` is stored as f16, as they do `second.b`: what
   * PyTorch's autocast does to LoRA's parameters.
   */
  roundsB?: boolean;
  /** `(M, N)`; leading dimensions count as one. */
  c: Tensor;
  /** A second product, with dropout of its own, added before `scale`: shapes as `a` and `b` with a depth of its own. */
  second?: { a: Tensor; b: Tensor; scale: number; dropout?: Dropout };
  /** Factor of the whole sum, default 1. */
  scale?: number;
  /** `(N)` f32. */
  bias?: Tensor | null;
  /** Applied after the bias. */
  act?: Activation;
  /** `(M, N)`, receives the value before `act`. */
  pre?: Tensor | null;
  /** Multiplies by the derivative of `act` at these pre-activations `(M, N)`. */
  actGrad?: { act: Activation; pre: Tensor };
  /** `c = x + gamma ∘ result`, x `(M, N)`, gamma `(N)` f32. */
  residual?: { x: Tensor; gamma: Tensor };
  /** Adds to what `c` holds. */
  accumulate?: boolean;
  /**
   * Room for a `tn` product's parts. Its depth is the number of tokens and its result is small: on
   * a GPU the depth is split over workgroups as far as the room goes.
   */
  workspace?: Tensor | null;
  /** Row of the profile, default `gemm`. */
  label?: string;
  /** By default the fastest that is known, else the one made for the adapter. */
  layout?: GemmLayout;
}

/** Workgroups that keep a large GPU busy: eight of 64 invocations for each of 128 multiprocessors. */
const BUSY = 1024;
const SPLIT_TILE = 64 * 64; // elements of the result that a workgroup is reckoned to compute
const SPLIT_DEPTH = 64; // of a part of K at least: four slices of a tile
const MOST_SCRATCH = 2 ** 24; // elements that the trials of one product may allocate
const ACTS = { gelu: 1, relu: 2 };
/** What the epilogue reads of the result's shape: where a residual starts, or pre-activations. */
const EXTRA = { name: "extra", binding: 2, type: "TypeExtra" };

/** Elements of a workspace that never limits the split, 0 on adapters where nothing is split. */
export function workspaceSize(gpu: Gpu): number {
  return hasEightLanes(gpu) ? 0 : 2 * BUSY * SPLIT_TILE;
}

/**
 * Parts of K, at most `most`. Otherwise they follow from the shapes alone, not from the layout: they
 * change in which order numbers are added.
 */
function splitsOf({ form, workspace }: GemmInput, { m, n, k }: Sizes, most: number): number {
  if (form !== "tn" || !workspace) return 1;
  const room = Math.floor(sizeOf(workspace.shape) / (m * n));
  const tiles = Math.ceil(n / 64) * Math.ceil(m / 64);
  const splits = Math.min(most, room, Math.ceil(k / SPLIT_DEPTH), Math.ceil(BUSY / tiles));
  return Math.max(1, splits);
}

/**
 * Records `c = epilogue(a·b)`; every matrix product of the model is this one kernel.
 *
 * All sums are f32 whatever the operands' type. N must be a multiple of 4, M too for `tn`, K for
 * `nt` and `nn`.
 *
 * @throws {RangeError} If shapes do not fit together, or a rate is outside [0, 1).
 * @throws {TypeError} If element types do not fit.
 * @see LoRA as a longer K: Hu et al. 2021, arXiv:2106.09685, section 4.1
 */
export function gemm(plan: Plan, input: GemmInput): void {
  const { form, a, b, c, second, layout, label = "gemm" } = input;
  const { gpu } = plan;
  const [m, n] = matrix(c);
  const k = a ? depth(a, form) : 0;
  const k2 = second ? depth(second.a, form) : 0;
  const sizes = { m, n, k, k2 };
  requireOperands(`${label} (${form})`, input, sizes);

  const stored = [a ?? second?.a, input.roundsB ? null : b];
  const isHalf = stored.every((operand) => !operand || operand.dtype === "f16");
  const fallback = layout ?? defaultLayout(gpu, { m, n, k: k + k2, isHalf });
  const types = [a, b, second?.a, second?.b, c].map((tensor) => tensor?.dtype ?? "");
  // Matrix units give other bits than what a trial would compare them with. And sums of a run live
  // on in what a kernel adds to: a trial must not touch them.
  const layouts = layoutsFor(gpu);
  const isTried = layout === undefined && fallback !== "matrix 64x64" &&
    !(input.accumulate && layouts.length * m * n > MOST_SCRATCH);
  recordTuned(plan, {
    key: `gemm ${form} ${m}x${n}x${k}+${k2} ${types.join()}`,
    layouts: isTried ? layouts : [fallback],
    fallback,
    flops: 2 * m * n * (k + k2),
    record: (layout) => record(plan, input, { ...sizes, layout }),
    rehearse(trial, layout) {
      const scratch = input.accumulate ? [createTensor(gpu, c.shape, c.dtype)] : [];
      record(trial, { ...input, c: scratch[0] ?? c }, { ...sizes, layout });
      return scratch;
    },
  });
}

/** Records a GEMM in one layout. */
function record(plan: Plan, input: GemmInput, choice: Sizes & { layout: GemmLayout }): void {
  const { form, a, b, c, second, bias, act, pre, actGrad, residual, label = "gemm" } = input;
  const { m, n, k, k2 } = choice;
  const { gpu } = plan;
  const layout = GEMM_LAYOUTS[choice.layout];
  const { code, rows, columns } = layout;
  const splits = splitsOf(input, choice, layout.parts);
  const extra = residual?.x ?? actGrad?.pre;
  const { none, noneWritten } = gpu;
  const ends = {
    M: m,
    N: n,
    SCALE: input.scale ?? 1,
    BIAS: Number(bias != null),
    ACT: act ? ACTS[act] : 0,
    SAVE_PRE: Number(pre != null),
    ACT_GRAD: actGrad ? ACTS[actGrad.act] : 0,
    RESIDUAL: Number(residual !== undefined),
    ACCUMULATE: Number(input.accumulate ?? false),
  };
  const product = {
    M: m,
    N: n,
    K: k,
    K2: k2,
    A_KM: Number(form === "tn"),
    B_NK: Number(form === "nt"),
    SCALE2: second?.scale ?? 1,
    RATE: second?.dropout?.rate ?? 0,
    SPLITS: splits,
  };
  const { source, asTexels } = declareOperands(
    [
      { name: "a", binding: 5, type: "TypeA", tensor: a, element: "Element" },
      { name: "b", binding: 6, type: "TypeB", tensor: b, element: "Element" },
      { name: "a2", binding: 7, type: "TypeA2", tensor: second?.a, element: "Element" },
      { name: "b2", binding: 8, type: "TypeB2", tensor: second?.b, element: "Element" },
      { ...EXTRA, tensor: extra },
    ],
    layout.readsTexels ?? false,
  );
  const inputs = [a, b, second?.a, second?.b, second?.dropout?.site].map((t) => t ?? none);
  const include = [random, gelu, relu, epilogue, source, loads];
  const types = {
    TypeA: a?.dtype ?? "f32",
    TypeB: b?.dtype ?? "f32",
    TypeA2: second?.a.dtype ?? "f32",
    TypeB2: second?.b.dtype ?? "f32",
    ...layout.types,
  } as const;
  const endTensors = [bias ?? none, residual?.gamma ?? none, extra ?? none, c, pre ?? noneWritten];
  const endTypes = { TypeExtra: extra?.dtype ?? "f32", TypeC: c.dtype } as const;
  const groups = [Math.ceil(n / columns), Math.ceil(m / rows), splits] as const;
  const flops = 2 * m * n * (k + k2);
  if (splits === 1) {
    plan.add({
      label,
      code,
      include,
      constants: { ...ends, ...product },
      types: { ...types, ...endTypes },
      tensors: [...endTensors, ...inputs],
      asTexels,
      groups,
      flops,
    });
    return;
  }
  const parts = viewTensor(gpu, input.workspace!, { start: 0, shape: [splits, m, n] });
  plan.add({
    label,
    code,
    include,
    constants: product,
    types,
    tensors: [none, none, none, parts, noneWritten, ...inputs],
    groups,
    flops,
  });
  plan.add({
    label: `${label} (join)`,
    code: join,
    include: [gelu, relu, epilogue, declareOperands([{ ...EXTRA, tensor: extra }], false).source],
    constants: { ...ends, PARTS: splits },
    types: endTypes,
    tensors: [...endTensors, parts],
    groups: grid1d(m * n / 4, 64),
  });
}

/** c is m × n; k and k2 are the depths of the products, 0 without. */
type Sizes = Record<"m" | "n" | "k" | "k2", number>;

/** A tensor's last dimension is its columns, the others its rows. */
function matrix({ shape }: Tensor): [rows: number, columns: number] {
  const columns = shape.at(-1) ?? 1;
  return [sizeOf(shape) / columns, columns];
}

function depth(a: Tensor, form: GemmForm): number {
  const [rows, columns] = matrix(a);
  return form === "tn" ? rows : columns;
}

/** @throws {RangeError | TypeError} If the kernel would not compute what its input says. */
function requireOperands(kernel: string, input: GemmInput, { m, n, k, k2 }: Sizes): void {
  const { form, a, b, c, second, bias, pre, actGrad, residual, workspace } = input;
  const wanted = (depth: number) => ({
    a: form === "tn" ? [depth, m] : [m, depth],
    b: form === "nt" ? [n, depth] : [depth, n],
  });
  const room = workspace ? [sizeOf(workspace.shape)] : [];
  // f32 or f16 where no type is named.
  const operands: [string, Tensor | null | undefined, number[], DType?][] = [
    ["c", c, [m, n]],
    ["a", a, wanted(k).a],
    ["b", b, wanted(k).b],
    ["second.a", second?.a, wanted(k2).a],
    ["second.b", second?.b, wanted(k2).b],
    ["pre", pre, [m, n], c.dtype],
    ["actGrad.pre", actGrad?.pre, [m, n]],
    ["residual.x", residual?.x, [m, n]],
    ["residual.gamma", residual?.gamma, [n], "f32"],
    ["bias", bias, [n], "f32"],
    ["workspace", workspace, room, "f32"],
  ];
  for (const [name, tensor, shape, dtype] of operands) {
    const type = dtype ?? (tensor?.dtype === "f16" ? "f16" : "f32");
    if (tensor) requireTensors(kernel, [[name, tensor, shape, type]]);
  }
  requireDropout(kernel, second?.dropout ?? null);
  const refuse = (problem: string): never => {
    throw new RangeError(`Cannot run ${kernel}: ${problem}`);
  };
  if (!a !== !b) refuse("a and b come together");
  if (!a && !second) refuse("there is no operand");
  if (residual && actGrad) refuse("residual and actGrad exclude each other");
  if (form === "tn" && second) refuse("a second product needs form nt or nn");
  const four = form === "tn" ? { M: m, N: n } : { N: n, K: k, "second K": k2 };
  for (const [name, size] of Object.entries(four)) {
    if (size % 4 !== 0) refuse(`${name} must be a multiple of 4: current value is ${size}`);
  }
}
