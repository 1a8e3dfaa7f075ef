import { type DType, type Gpu, hasEightLanes, type Tensor } from "./gpu.ts";
import { declareOperands } from "./operands.ts";
import type { Plan } from "./plan.ts";
import { requireTensors } from "./shape.ts";
import { list } from "./written.ts";
import forward from "./attention.wgsl" with { type: "text" };
import backward from "./attention_backward.wgsl" with { type: "text" };
import backwardKv from "./attention_backward_kv.wgsl" with { type: "text" };
import backwardKvTile from "./attention_backward_kv_tile.wgsl" with { type: "text" };
import backwardQ from "./attention_backward_q.wgsl" with { type: "text" };
import fours from "./attention_fours.wgsl" with { type: "text" };
import matrix from "./attention_matrix.wgsl" with { type: "text" };
import owned from "./attention_owned.wgsl" with { type: "text" };
import common from "./attention_rows.wgsl" with { type: "text" };
import { splitLanes, splitRows, SPLITS, splitSpan } from "./attention_split.ts";
import { MEETINGS, meetingSpan, subgroupRows } from "./attention_subgroup.ts";
import tile from "./attention_tile.wgsl" with { type: "text" };
import fragment from "./matrix_fragment.wgsl" with { type: "text" };

/** How the kernels are laid out on the machine; `auto` takes the one made for the adapter. */
export type AttentionVariant = "auto" | "subgroup" | "matrix" | "split" | "thin" | "tile";

/** Tensors of {@linkcode attention}. */
export interface AttentionInput {
  /** `(batch, tokens, 3 * channels)`: query, key, value, each `(heads, 64)`. */
  qkv: Tensor;
  /** `(tokens - prefix, 32)` f32, from `ropeTable()`. */
  cos: Tensor;
  /** `(tokens - prefix, 32)` f32. */
  sin: Tensor;
  /** `(batch, tokens, channels)`, written. */
  out: Tensor;
  /** `(batch, heads, tokens)` f32, log-sum-exp of each row of scores, written for the backward. */
  lse: Tensor;
  heads: number;
  /** Tokens in front that have no place: class and registers. */
  prefix: number;
  variant?: AttentionVariant;
}

/** Tensors of {@linkcode attentionBackward}; `out` and `lse` are those of the forward. */
export interface AttentionBackwardInput extends AttentionInput {
  /** `(batch, tokens, channels)`, gradient of `out`. */
  dOut: Tensor;
  /** `(batch, heads, tokens)` f32, scratch. */
  delta: Tensor;
  /** `(batch, tokens, 3 * channels)`, gradient of `qkv`, written. */
  dQkv: Tensor;
}

/** Which kernel: a key of what depends on it. */
type KernelName = keyof typeof SPLITS.split;

/** How a variant lays a kernel out. */
interface Layout {
  /** Sources after those of the rows. */
  shared: string[];
  readsTexels?: boolean;
  /** Element types of its own, as `KernelRun.types`. */
  types?: Readonly<Record<string, DType>>;
  /** Rows a workgroup owns. */
  span: number;
  /** WGSL of ARRAY_of(first), the numbers of all passing rows; `place`: which array of how many. */
  passing?: (array: string, place: number) => string;
}

/** One kernel over all rows of all heads. */
interface RowKernel {
  name: KernelName;
  label: string;
  code: string;
  include?: string[];
  /** Arrays (batch, HEADS, TOKENS) of which it wants the numbers of all passing rows. */
  numbers?: string[];
  /** Gradient of the output, if it is an operand. */
  dOut?: Tensor;
  /** Bindings after the operands. */
  tensors: Tensor[];
  /** How often each row meets each row of its head over 64 dimensions. */
  products: number;
}

const DIM = 64; // of a head; the kernels are written for it

/** The variant made for an adapter. Matrix units round turned rows to f16: only for rows in f16. */
export function attentionVariant(gpu: Gpu, dtype: DType): Exclude<AttentionVariant, "auto"> {
  if (gpu.hasMatrix && dtype === "f16") return "matrix";
  if (hasEightLanes(gpu)) return "subgroup";
  if (gpu.subgroupMinSize < 8) return "tile";
  return gpu.hasManyRegisters ? "split" : "thin";
}

/**
 * Records multi-head attention with rotary embedding of queries and keys, in one kernel: the
 * scores are never in memory. Heads have 64 dimensions; all arithmetic is in f32, but for rows and
 * weights that are rounded to f16 for matrix units.
 *
 * @throws {RangeError} If shapes do not fit.
 * @throws {TypeError} If element types do not fit.
 * @see Dao 2023, arXiv:2307.08691, algorithm 1; Su et al. 2021, arXiv:2104.09864
 */
export function attention(plan: Plan, input: AttentionInput): void {
  const label = "attention";
  checkTensors(label, input);
  const { out, lse } = input;
  add(plan, input, {
    name: "forward",
    label,
    code: forward,
    tensors: [out, lse],
    products: 2,
  });
}

/**
 * Records the gradient of {@linkcode attention} to `qkv`: one kernel for the queries, one for the
 * keys and values, both of which compute the scores anew.
 *
 * @throws {RangeError} If shapes do not fit.
 * @throws {TypeError} If element types do not fit.
 * @see Dao 2023, arXiv:2307.08691, algorithm 2
 */
export function attentionBackward(plan: Plan, input: AttentionBackwardInput): void {
  const label = "attention_backward";
  checkTensors(label, input);
  const { qkv, out, lse, dOut, delta, dQkv } = input;
  requireTensors(label, [
    ["dOut", dOut, out.shape, qkv.dtype],
    ["delta", delta, lse.shape, "f32"],
    ["dQkv", dQkv, qkv.shape, qkv.dtype],
  ]);
  add(plan, input, {
    name: "backwardQ",
    label: `${label}_q`,
    code: backwardQ,
    include: [backward],
    dOut,
    tensors: [lse, dQkv, delta, out],
    products: 3,
  });
  add(plan, input, {
    name: "backwardKv",
    label: `${label}_kv`,
    code: variantOf(plan, input) === "tile" ? backwardKvTile : backwardKv,
    numbers: ["lse", "delta"],
    include: [backward],
    dOut,
    tensors: [lse, dQkv, delta],
    products: 4,
  });
}

function variantOf(plan: Plan, { variant = "auto", qkv }: AttentionInput) {
  return variant === "auto" ? attentionVariant(plan.gpu, qkv.dtype) : variant;
}

function layoutOf(plan: Plan, input: AttentionInput, name: KernelName): Layout {
  const variant = variantOf(plan, input);
  switch (variant) {
    case "subgroup": {
      const meeting = MEETINGS[name];
      return {
        shared: [owned, subgroupRows(meeting)],
        readsTexels: true,
        span: meetingSpan(meeting),
        passing: (array) => passingNumbers(array, meeting.pass),
      };
    }
    case "matrix":
      return {
        shared: [fragment, `const RAISES = ${name === "forward"};`, fours, matrix],
        types: { Element: "f16" },
        span: 48,
        passing: keptNumbers,
      };
    case "tile":
      return { shared: [owned, fours, tile], span: name === "backwardKv" ? 32 : 64 };
    case "split":
    case "thin": {
      const split = SPLITS[variant][name];
      const lanes = splitLanes(split, input.qkv.shape[1]!);
      return {
        shared: [splitRows(split, lanes)],
        span: splitSpan(split, lanes),
        passing: (array) => passingNumbers(array, split.pass),
      };
    }
  }
}

function checkTensors(label: string, input: AttentionInput): void {
  const { qkv, cos, sin, out, lse, heads, prefix } = input;
  const [batch = 0, tokens = 0] = qkv.shape;
  const patches = Math.max(0, tokens - prefix);
  requireTensors(label, [
    ["qkv", qkv, [batch, tokens, 3 * heads * DIM], qkv.dtype],
    ["cos", cos, [patches, DIM / 2], "f32"],
    ["sin", sin, [patches, DIM / 2], "f32"],
    ["out", out, [batch, tokens, heads * DIM], qkv.dtype],
    ["lse", lse, [batch, heads, tokens], "f32"],
  ]);
}

function add(plan: Plan, input: AttentionInput, kernel: RowKernel): void {
  const { qkv, cos, sin, heads, prefix } = input;
  const { name, label, code, include = [], numbers = [], dOut, tensors, products } = kernel;
  const [batch, tokens] = qkv.shape as [number, number];
  const { shared, readsTexels = false, types, span, passing } = layoutOf(plan, input, name);
  const operands = [
    { name: "qkv", type: "Activation", tensor: qkv },
    { name: "cosine", type: "f32", tensor: cos },
    { name: "sine", type: "f32", tensor: sin },
    ...(dOut ? [{ name: "dOut", type: "Activation", tensor: dOut }] : []),
  ].map((operand, binding) => ({ ...operand, binding }));
  const { source, asTexels } = declareOperands(operands, readsTexels);
  plan.add({
    label,
    code,
    include: [source, common, ...shared, ...include, ...(passing ? numbers.map(passing) : [])],
    constants: { HEADS: heads, TOKENS: tokens, PREFIX: prefix },
    types: { Activation: qkv.dtype, ...types },
    tensors: [...operands.map(({ tensor }) => tensor), ...tensors],
    asTexels,
    groups: [Math.ceil(tokens / span), heads, batch],
    flops: products * 2 * DIM * batch * heads * tokens ** 2,
  });
}

/** WGSL of ARRAY_of(first): the numbers of `pass` rows, the last row's for those past the end. */
function passingNumbers(array: string, pass: number): string {
  const numbers = list(pass, (j) => `${array}[place_of(first + ${j}u)]`);
  return `fn ${array}_of(first: u32) -> Scalars { return Scalars(${numbers}); }`;
}

/** The same, kept in workgroup memory. */
function keptNumbers(array: string, place: number): string {
  const numbers = list(4, (j) => `${array}[place_of(first + 4u * lane + ${j}u)]`);
  return `fn ${array}_of(first: u32) -> Scalars {
  if (lane < PASS / 4u) { keep_numbers(${place}u, vec4f(${numbers})); }
  return ${place}u;
}`;
}
