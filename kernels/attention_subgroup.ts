/**
 * Source of the rows of attention for CPU adapters that run 8 lanes as one SIMD vector.
 *
 * @module
 */
import { count, list, xyzw } from "./written.ts";

/** How many rows meet. */
export interface Meeting {
  /** Rows of a lane, 2 to 4. */
  rows: number;
  /** Shared rows that pass at a time. */
  pass: number;
}

/**
 * Meetings by kernel, as they were measured. More rows mean fewer loads and shuffles for each
 * product, more that pass fewer updates of the sums, and both a longer loop, which must fit into the
 * 32 KiB that a core keeps of its instructions.
 */
export const MEETINGS = {
  forward: { rows: 3, pass: 2 },
  backwardQ: { rows: 3, pass: 1 },
  backwardKv: { rows: 3, pass: 1 },
} satisfies Record<string, Meeting>;

/** Rows of a workgroup, which is one subgroup. */
export function meetingSpan({ rows }: Meeting): number {
  return 8 * rows;
}

/**
 * Writes what follows `attention_owned.wgsl`.
 *
 * Lane c reads pair c of a shared row; a shuffle by a constant, which costs two instructions there,
 * gives it to all lanes.
 */
export function subgroupRows({ rows, pass }: Meeting): string {
  const lines = (line: (r: number) => string) => list(rows, line, ",\n    ");
  const each = (item: (j: number) => string) => `Values(${list(pass, item)})`;
  const total = (join: (x: string, y: string) => string) =>
    count(pass).map((j) => `x[${j}]`).reduce(join);
  const mixed = (part: string) =>
    count(pass).reduce(
      (sum, j) => `fma(vec4f(w[${j}]), y[${j}].${part}, ${sum})`,
      `keep * x.${part}`,
    );
  const ofRow = (r: number) => list(pass, (j) => `w[${j}].${xyzw(r)}`);

  return /* wgsl */ `
const LANES = 8u;
const OWNED = ${rows}u;
const SPAN = ${meetingSpan({ rows, pass })}u; // rows a workgroup owns
const PASS = ${pass}u; // shared rows at a time

alias Value = vec${rows}f; // a number for each row owned
alias Chunk = array<Pair, ${rows}>; // pair c of each row owned
alias Shared = Pair; // pair \`lane\` of a shared row
alias Sum = array<vec4f, ${rows}>; // of products, four partial sums a row

fn stage(first: u32) {} // no preparation

fn share(kind: u32, token: u32) -> Shared {
  return row_pair(kind, min(token, TOKENS - 1u), lane);
}
fn part(row: Shared, c: u32) -> Pair {
  return Pair(subgroupShuffle(row.lo, c), subgroupShuffle(row.hi, c));
}

fn own_chunk(kind: u32, c: u32) -> Chunk {
  return Chunk(${list(rows, (r) => `row_pair(kind, own_token(${r}u), c)`)});
}
fn store_chunk(kind: u32, c: u32, x: Chunk, by: Value) {
  ${
    list(rows, (r) =>
      `store_within(kind, own + ${r}u * LANES, c, scaled(x[${r}], by.${xyzw(r)}));`, "\n  ")
  }
}
fn store_within(kind: u32, token: u32, c: u32, x: Pair) {
  if (token < TOKENS) {
    store_pair(kind, token, c, x);
  }
}
fn value_of(x: array<f32, OWNED>) -> Value {
  return Value(${list(rows, (r) => `x[${r}]`)});
}
fn value_at(x: Value, r: u32) -> f32 {
  return x[r];
}

// sum + x y, element by element
fn add_product(sum: Sum, x: Chunk, y: Pair) -> Sum {
  return Sum(
    ${lines((r) => `fma(x[${r}].hi, y.hi, fma(x[${r}].lo, y.lo, sum[${r}]))`)}
  );
}
fn total(sum: Sum) -> Value {
  return Value(${list(rows, (r) => `total_of(sum[${r}])`)});
}
// keep x + sum_j w[j] y[j]
fn mix_chunk(x: Chunk, keep: Value, w: Values, y: Parts) -> Chunk {
  return Chunk(
    ${lines((r) => `mix_pair(x[${r}], keep.${xyzw(r)}, Scalars(${ofRow(r)}), y)`)}
  );
}

alias Passing = array<Shared, PASS>; // shared rows
alias Parts = Passing; // a pair of each
alias Values = array<Value, PASS>; // a number for each row owned, for each of them
alias Scalars = array<f32, PASS>; // a number for each of them

// Those past the end repeat the last one.
fn share_rows(kind: u32, token: u32) -> Passing {
  return Passing(${list(pass, (j) => `share(kind, token + ${j}u)`)});
}
fn parts(rows: Passing, c: u32) -> Parts {
  return Parts(${list(pass, (j) => `part(rows[${j}], c)`)});
}
fn dot_rows(x: ptr<function, Rows>, rows: Passing) -> Values {
  return ${each((j) => `dot_row(x, rows[${j}])`)};
}
fn mix_pair(x: Pair, keep: f32, w: Scalars, y: Parts) -> Pair {
  return Pair(
    ${mixed("lo")},
    ${mixed("hi")},
  );
}

// Arithmetic on each number.
fn times(x: Values, by: f32) -> Values {
  return ${each((j) => `by * x[${j}]`)};
}
fn product(x: Values, y: Values) -> Values {
  return ${each((j) => `x[${j}] * y[${j}]`)};
}
fn minus(x: Values, y: Value) -> Values {
  return ${each((j) => `x[${j}] - y`)};
}
fn minus_each(x: Values, y: Scalars) -> Values {
  return ${each((j) => `x[${j}] - y[${j}]`)};
}
fn exp_of(x: Values) -> Values {
  return ${each((j) => `exp(x[${j}])`)};
}
fn raised(highest: Value, x: Values) -> Value {
  return max(highest, ${total((x, y) => `max(${x}, ${y})`)});
}
fn sum_of(x: Values) -> Value {
  return ${total((x, y) => `${x} + ${y}`)};
}
// Numbers for the shared rows from \`first\` on; \`other\` for those past the end.
fn within(x: Values, first: u32, other: f32) -> Values {
  return ${each((j) => j ? `select(Value(other), x[${j}], first + ${j}u < TOKENS)` : "x[0]")};
}
`;
}
