/**
 * Attention with RoPE in plain f64 loops: the definition the kernels are held to.
 *
 * @module
 */
import { rotateRow } from "./rope_cpu.ts";

const DIM = 64;

/** Sizes and angles of an attention layer. */
export interface AttentionShape {
  batch: number;
  tokens: number;
  heads: number;
  /** Tokens in front that have no place and are not turned. */
  prefix: number;
  /** `(tokens - prefix, 32)`. */
  cos: Float32Array;
  /** `(tokens - prefix, 32)`. */
  sin: Float32Array;
}

/** One head of one image: rows of 64 and the softmax of their products. */
interface Head {
  /** Query, key (both turned) and value rows. */
  rows: [Float64Array[], Float64Array[], Float64Array[]];
  /** `(tokens, tokens)`, each row adds up to 1. */
  p: Float64Array[];
  lse: number[];
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let d = 0; d < DIM; d++) sum += a[d]! * b[d]!;
  return sum;
}

function addTo(sum: Float64Array, factor: number, row: Float64Array): void {
  for (let d = 0; d < DIM; d++) sum[d]! += factor * row[d]!;
}

/** Turns the row of a token, if the token has a place. */
function turn(row: Float64Array, token: number, shape: AttentionShape, back = false): void {
  const patch = token - shape.prefix;
  if (patch < 0) return;
  const [start, end] = [patch * DIM / 2, (patch + 1) * DIM / 2];
  rotateRow(row, { cos: shape.cos.slice(start, end), sin: shape.sin.slice(start, end) }, back);
}

/** Where the row of a token starts, in a tensor of `parts` rows a head and token. */
function place(
  { tokens, heads }: AttentionShape,
  { parts, part, b, h, token }: Record<"parts" | "part" | "b" | "h" | "token", number>,
): number {
  return (((b * tokens + token) * parts + part) * heads + h) * DIM;
}

function headOf(qkv: ArrayLike<number>, b: number, h: number, shape: AttentionShape): Head {
  const rowsOf = (part: number) =>
    Array.from({ length: shape.tokens }, (_, token) => {
      const start = place(shape, { parts: 3, part, b, h, token });
      const row = Float64Array.from({ length: DIM }, (_, d) => qkv[start + d]!);
      if (part < 2) turn(row, token, shape);
      return row;
    });
  const rows: Head["rows"] = [rowsOf(0), rowsOf(1), rowsOf(2)];
  const lse: number[] = [];
  const p = rows[0].map((q) => {
    const scores = Float64Array.from(rows[1], (k) => dot(q, k) / Math.sqrt(DIM));
    const max = Math.max(...scores);
    const total = max + Math.log(scores.reduce((sum, s) => sum + Math.exp(s - max), 0));
    lse.push(total);
    return scores.map((s) => Math.exp(s - total));
  });
  return { rows, p, lse };
}

/**
 * Attention of every head.
 *
 * @param qkv `(batch, tokens, 3, heads, 64)`.
 * @returns `out` `(batch, tokens, heads, 64)` and `lse` `(batch, heads, tokens)`.
 */
export function attentionCpu(
  qkv: ArrayLike<number>,
  shape: AttentionShape,
): { out: Float64Array; lse: Float64Array } {
  const { batch, tokens, heads } = shape;
  const out = new Float64Array(batch * tokens * heads * DIM);
  const lse = new Float64Array(batch * heads * tokens);
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      const head = headOf(qkv, b, h, shape);
      lse.set(head.lse, (b * heads + h) * tokens);
      for (let token = 0; token < tokens; token++) {
        const start = place(shape, { parts: 1, part: 0, b, h, token });
        const row = out.subarray(start, start + DIM);
        head.rows[2].forEach((v, j) => addTo(row, head.p[token]![j]!, v));
      }
    }
  }
  return { out, lse };
}

/**
 * Gradient of {@linkcode attentionCpu} to `qkv`, given the gradient of `out`.
 *
 * @returns `(batch, tokens, 3, heads, 64)`.
 */
export function attentionBackwardCpu(
  qkv: ArrayLike<number>,
  dOut: ArrayLike<number>,
  shape: AttentionShape,
): Float64Array {
  const { batch, tokens, heads } = shape;
  const dQkv = new Float64Array(batch * tokens * 3 * heads * DIM);
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      const { rows: [q, k, v], p } = headOf(qkv, b, h, shape);
      const gradient = (part: number, token: number) => {
        const start = place(shape, { parts: 3, part, b, h, token });
        return dQkv.subarray(start, start + DIM);
      };
      for (let i = 0; i < tokens; i++) {
        const start = place(shape, { parts: 1, part: 0, b, h, token: i });
        const dO = Float64Array.from({ length: DIM }, (_, d) => dOut[start + d]!);
        const dP = v.map((row) => dot(dO, row));
        const delta = dP.reduce((sum, x, j) => sum + x * p[i]![j]!, 0);
        for (let j = 0; j < tokens; j++) {
          const dS = p[i]![j]! * (dP[j]! - delta) / Math.sqrt(DIM);
          addTo(gradient(0, i), dS, k[j]!);
          addTo(gradient(1, j), dS, q[i]!);
          addTo(gradient(2, j), p[i]![j]!, dO);
        }
      }
      for (let token = 0; token < tokens; token++) {
        turn(gradient(0, token), token, shape, true);
        turn(gradient(1, token), token, shape, true);
      }
    }
  }
  return dQkv;
}
