// Shared rows by subgroup, for CPU adapters with 8 lanes: a workgroup is one subgroup, a lane owns
// four rows. Lane c reads pair c of a shared row; a shuffle by a constant, which costs one
// instruction there, gives it to all lanes. Reads cost most: four rows share each. More than two
// shared rows at a time, and the loop outgrows the 32 KiB that a core keeps of its instructions.

const LANES = 8u;
const OWNED = 4u;
const SPAN = 32u; // rows a workgroup owns
const PASS = 2u; // shared rows at a time

alias Value = vec4f; // a number for each row owned
alias Chunk = array<Pair, 4>; // pair c of each row owned
alias Shared = Pair; // pair `lane` of a shared row
alias Sum = array<vec4f, 4>; // of products, four partial sums a row

fn stage(first: u32) {} // no preparation

fn share(kind: u32, token: u32) -> Shared {
  return row_pair(kind, min(token, TOKENS - 1u), lane);
}
fn part(row: Shared, c: u32) -> Pair {
  return Pair(subgroupShuffle(row.lo, c), subgroupShuffle(row.hi, c));
}

fn own_chunk(kind: u32, c: u32) -> Chunk {
  return Chunk(
    row_pair(kind, own_token(0u), c), row_pair(kind, own_token(1u), c),
    row_pair(kind, own_token(2u), c), row_pair(kind, own_token(3u), c),
  );
}
fn store_chunk(kind: u32, c: u32, x: Chunk, by: Value) {
  store_within(kind, own, c, scaled(x[0], by.x));
  store_within(kind, own + LANES, c, scaled(x[1], by.y));
  store_within(kind, own + 2u * LANES, c, scaled(x[2], by.z));
  store_within(kind, own + 3u * LANES, c, scaled(x[3], by.w));
}
fn store_within(kind: u32, token: u32, c: u32, x: Pair) {
  if (token < TOKENS) {
    store_pair(kind, token, c, x);
  }
}
fn value_of(x: array<f32, OWNED>) -> Value {
  return Value(x[0], x[1], x[2], x[3]);
}
fn value_at(x: Value, r: u32) -> f32 {
  return x[r];
}

// sum + x y, element by element
fn add_product(sum: Sum, x: Chunk, y: Pair) -> Sum {
  return Sum(
    fma(x[0].hi, y.hi, fma(x[0].lo, y.lo, sum[0])),
    fma(x[1].hi, y.hi, fma(x[1].lo, y.lo, sum[1])),
    fma(x[2].hi, y.hi, fma(x[2].lo, y.lo, sum[2])),
    fma(x[3].hi, y.hi, fma(x[3].lo, y.lo, sum[3])),
  );
}
fn total(sum: Sum) -> Value {
  return Value(total_of(sum[0]), total_of(sum[1]), total_of(sum[2]), total_of(sum[3]));
}
// keep x + sum_j w[j] y[j]
fn mix_chunk(x: Chunk, keep: Value, w: Values, y: Parts) -> Chunk {
  return Chunk(
    mix_pair(x[0], keep.x, Scalars(w[0].x, w[1].x), y),
    mix_pair(x[1], keep.y, Scalars(w[0].y, w[1].y), y),
    mix_pair(x[2], keep.z, Scalars(w[0].z, w[1].z), y),
    mix_pair(x[3], keep.w, Scalars(w[0].w, w[1].w), y),
  );
}

alias Passing = array<Shared, PASS>; // shared rows
alias Parts = array<Pair, PASS>; // a pair of each
alias Values = array<Value, PASS>; // a number for each row owned, for each of them
alias Scalars = vec2f; // a number for each of them

// Those past the end repeat the last one.
fn share_rows(kind: u32, token: u32) -> Passing {
  return Passing(share(kind, token), share(kind, token + 1u));
}
fn parts(rows: Passing, c: u32) -> Parts {
  return Parts(part(rows[0], c), part(rows[1], c));
}
fn dot_rows(x: ptr<function, Rows>, rows: Passing) -> Values {
  return Values(dot_row(x, rows[0]), dot_row(x, rows[1]));
}
fn mix_pair(x: Pair, keep: f32, w: Scalars, y: Parts) -> Pair {
  var lo = x.lo * keep;
  var hi = x.hi * keep;
  lo = fma(vec4f(w.x), y[0].lo, lo);
  hi = fma(vec4f(w.x), y[0].hi, hi);
  lo = fma(vec4f(w.y), y[1].lo, lo);
  hi = fma(vec4f(w.y), y[1].hi, hi);
  return Pair(lo, hi);
}

// Arithmetic on each number.
fn times(x: Values, by: f32) -> Values {
  return Values(by * x[0], by * x[1]);
}
fn product(x: Values, y: Values) -> Values {
  return Values(x[0] * y[0], x[1] * y[1]);
}
fn minus(x: Values, y: Value) -> Values {
  return Values(x[0] - y, x[1] - y);
}
fn minus_each(x: Values, y: Scalars) -> Values {
  return Values(x[0] - y[0], x[1] - y[1]);
}
fn exp_of(x: Values) -> Values {
  return Values(exp(x[0]), exp(x[1]));
}
fn highest_of(x: Values) -> Value {
  return max(x[0], x[1]);
}
fn sum_of(x: Values) -> Value {
  return x[0] + x[1];
}
// Numbers for the shared rows from `first` on; `other` for those past the end.
fn within(x: Values, first: u32, other: f32) -> Values {
  return Values(x[0], select(Value(other), x[1], first + 1u < TOKENS));
}
