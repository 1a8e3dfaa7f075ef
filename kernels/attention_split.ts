/**
 * Source of the rows of attention for GPUs with subgroups.
 *
 * @module
 */
import { count, list, xyzw } from "./written.ts";

/** How rows are split over lanes, by powers of two: `rows` at most `team`, `team` at most 8. */
export interface Split {
  /** Neighbouring lanes that work on the same rows, each on its part of every one. */
  team: number;
  /** Rows of a team. */
  rows: number;
  /** Shared rows that pass at a time, 2 or 4. */
  pass: number;
  /** The sums so far are rescaled when more is added. */
  rescales: boolean;
}

/** Splits by kernel: as many rows as 255 registers hold, and for thin lanes 128. */
export const SPLITS = {
  split: {
    forward: { team: 4, rows: 4, pass: 4, rescales: true },
    backwardQ: { team: 8, rows: 4, pass: 4, rescales: false },
    backwardKv: { team: 8, rows: 4, pass: 2, rescales: false },
  },
  thin: {
    forward: { team: 8, rows: 4, pass: 4, rescales: true },
    backwardQ: { team: 8, rows: 2, pass: 4, rescales: false },
    backwardKv: { team: 8, rows: 2, pass: 2, rescales: false },
  },
} satisfies Record<string, Record<string, Split>>;

/** Lanes of a workgroup: as many subgroups of NVIDIA's as waste the least time past the end. */
export function splitLanes(split: Split, tokens: number): number {
  const staging = 4; // what it takes to read the shared rows, in lanes
  const time = (lanes: number) => Math.ceil(tokens / splitSpan(split, lanes)) * (lanes + staging);
  return [32, 64, 96, 128].reduce((best, lanes) => time(lanes) <= time(best) ? lanes : best);
}

/** Rows of a workgroup. */
export function splitSpan({ team, rows }: Split, lanes: number): number {
  return lanes / team * rows;
}

/**
 * Writes what follows `attention_rows.wgsl`; the kernels are those of whole rows.
 *
 * A load of a vec4 from workgroup memory takes as long as 16 multiply-adds of a scalar, even if all
 * lanes read the same one. So it has to serve several rows, more than a lane can hold: a team of
 * lanes shares them, each keeps the same dims of every row, and shuffles complete the products.
 *
 * A lane counts the rows of its team from its own one: row r is `own ^ r`. Then a sum over the team
 * halves, with each shuffle, the rows that a lane still sums for, and ends with the numbers of its
 * own row, so that no softmax is computed by all; and the numbers of row r are one shuffle by r
 * away. With more lanes than rows, `team / rows` lanes own the same one, to the same bits, as a + b
 * is b + a; each stores its numbers.
 *
 * Lanes of a subgroup are taken to be neighbours in the workgroup, as they are in all drivers.
 */
export function splitRows({ team, rows, pass, rescales }: Split, lanes: number): string {
  const lines = (n: number, line: (i: number) => string) => list(n, line, "\n  ");
  const parts = 16 / team; // vec4s that a lane keeps of a row
  const pairs = parts / 2;
  const tile = lanes / 4; // shared rows of a kind: two pairs for each lane to read
  const swap = (x: string, mask: number) => mask === 0 ? x : `subgroupShuffleXor(${x}, ${mask}u)`;
  const halvings = [4, 2, 1].filter((step) => step < rows).flatMap((step) =>
    count(step).map((r) => `s${r} += ${swap(`s${r + step}`, step)};`)
  );
  const copies = [1, 2, 4].filter((step) => step >= rows && step < team)
    .map((step) => `s0 += ${swap("s0", step)};`);
  const mixed = (n: number) =>
    count(pass).reduce(
      (sum, j) => `fma(vec4f(w.${xyzw(j)}), y[${j}][${n}], ${sum})`,
      rescales ? `keep * x[${n}]` : `x[${n}]`,
    );
  const dots = count(pass).flatMap((j) =>
    count(rows).map((r) => `let s${r}_${j} = dot_part((*x)[${r}], y[${j}]);`)
  );
  const total = (join: (x: string, y: string) => string) =>
    count(pass).map((j) => `x.${xyzw(j)}`).reduce(join);

  return /* wgsl */ `
const LANES = ${lanes}u;
const OWNED = 1u; // row whose numbers a lane has: maximum, sum, ...
const SPAN = ${splitSpan({ team, rows, pass, rescales }, lanes)}u;
const PASS = ${pass}u;
const TEAM = ${team}u;
const TILE = ${tile}u;

alias Part = array<vec4f, ${parts}>; // vec4s lane % TEAM + n TEAM of a row
alias Rows = array<Part, ${rows}>; // of row own ^ r
alias Passing = ${pass === rows ? "Rows" : "array<Part, PASS>"}; // one name a type, for naga's HLSL
alias Value = f32; // a number for the lane's own row
alias Values = vec${pass}f; // for each passing row
alias Scalars = Values;

// Vec4 n TEAM + p of row g PASS + j is [g][j][n][p]: n and j are constants, and the lanes of a team
// read neighbours. TILE rows of KIND_A, then of KIND_B.
var<workgroup> tile: array<array<array<array<vec4f, TEAM>, ${parts}>, PASS>, ${2 * tile / pass}>;

fn stage(first: u32) {
  if (first % TILE == 0u) {
    workgroupBarrier(); // all lanes are done with the last rows
    for (var i = lane; i < TILE * 8u; i += LANES) {
      stage_pair(KIND_A, first, i / 8u, i % 8u, 0u);
      stage_pair(KIND_B, first, i / 8u, i % 8u, TILE / PASS);
    }
    workgroupBarrier();
  }
}
fn stage_pair(kind: u32, first: u32, row: u32, c: u32, start: u32) {
  let x = row_pair(kind, min(first + row, TOKENS - 1u), c);
  tile[start + row / PASS][row % PASS][c / TEAM][c % TEAM] = x.lo;
  tile[start + row / PASS][row % PASS][c / TEAM + ${pairs}u][c % TEAM] = x.hi;
}
// Those past the end repeat the last one.
fn share_rows(kind: u32, token: u32) -> Passing {
  let g = token % TILE / PASS + select(0u, TILE / PASS, kind == KIND_B);
  let p = lane % TEAM;
  return Passing(
    ${list(pass, (j) => `Part(${list(parts, (n) => `tile[g][${j}][${n}][p]`)})`)}
  );
}

// Of the lane's own row, in the workgroup.
fn own_place() -> u32 {
  return lane / TEAM * ${rows}u + lane % ${rows}u;
}
fn own_part(kind: u32, r: u32) -> Part {
  let token = min(own ^ r, TOKENS - 1u);
  ${lines(pairs, (i) => `let x${i} = row_pair(kind, token, lane % TEAM + ${i}u * TEAM);`)}
  return Part(${list(pairs, (i) => `x${i}.lo`)}, ${list(pairs, (i) => `x${i}.hi`)});
}
fn own_rows(kind: u32) -> Rows {
  return Rows(${list(rows, (r) => `own_part(kind, ${r}u)`)});
}
fn store_part(kind: u32, r: u32, x: Part, by: f32) {
  let token = own ^ r;
  if (token < TOKENS) {
    ${
    lines(pairs, (i) =>
      `store_pair(kind, token, lane % TEAM + ${i}u * TEAM, ` +
      `Pair(by * x[${i}], by * x[${i + pairs}]));`)
  }
  }
}
fn store_rows(kind: u32, x: ptr<function, Rows>, by: Value) {
  ${lines(rows, (r) => `store_part(kind, ${r}u, (*x)[${r}], ${swap("by", r)});`)}
}
fn value_of(x: array<f32, OWNED>) -> Value {
  return x[0];
}
fn value_at(x: Value, r: u32) -> f32 {
  return x;
}

fn add_dot(sum: f32, x: vec4f, y: vec4f) -> f32 {
  return fma(x.w, y.w, fma(x.z, y.z, fma(x.y, y.y, fma(x.x, y.x, sum))));
}
fn dot_part(x: Part, y: Part) -> f32 {
  return ${count(parts).reduce((sum, n) => `add_dot(${sum}, x[${n}], y[${n}])`, "0.0")};
}
fn dot_rows(x: ptr<function, Rows>, y: Passing) -> Values {
  ${dots.join("\n  ")}
  ${lines(rows, (r) => `var s${r} = Values(${list(pass, (j) => `s${r}_${j}`)});`)}
  ${[...halvings, ...copies].join("\n  ")}
  return s0;
}
fn mix_part(x: Part, keep: f32, w: Values, y: Passing) -> Part {
  return Part(
    ${count(parts).map(mixed).join(",\n    ")}
  );
}
// x = keep x + sum_j w[j] y[j]${rescales ? "" : "; keep is 1"}
fn accumulate(x: ptr<function, Rows>, keep: Value, w: Values, y: Passing) {
  ${
    lines(rows, (r) =>
      `(*x)[${r}] = mix_part((*x)[${r}], ${rescales ? swap("keep", r) : "keep"}, ` +
      `${swap("w", r)}, y);`)
  }
}

fn times(x: Values, by: f32) -> Values {
  return by * x;
}
fn product(x: Values, y: Values) -> Values {
  return x * y;
}
fn minus(x: Values, y: Value) -> Values {
  return x - y;
}
fn minus_each(x: Values, y: Scalars) -> Values {
  return x - y;
}
fn exp_of(x: Values) -> Values {
  return exp(x);
}
fn raised(highest: Value, x: Values) -> Value {
  return max(highest, ${total((x, y) => `max(${x}, ${y})`)});
}
fn sum_of(x: Values) -> Value {
  return ${total((x, y) => `${x} + ${y}`)};
}
// Numbers for the shared rows from \`first\` on; \`other\` for those past the end.
fn within(x: Values, first: u32, other: f32) -> Values {
  return Values(
    x.x, ${list(pass - 1, (j) => `select(other, x.${xyzw(j + 1)}, first + ${j + 1}u < TOKENS)`)}
  );
}
`;
}
