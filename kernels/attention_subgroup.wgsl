// Shared rows by subgroup, for CPU adapters with 8 lanes: a workgroup is one subgroup, a lane owns
// two rows. Lane c reads pair c of a shared row; a shuffle by a constant, which costs one
// instruction there, gives it to all lanes.

const LANES = 8u;
const OWNED = 2u;
const SPAN = 16u; // rows a workgroup owns

alias Value = vec2f; // a number for each row owned
alias Chunk = array<Pair, 2>; // pair c of each row owned
alias Shared = Pair; // pair `lane` of a shared row

struct Sum { a: vec4f, b: vec4f } // of products, four partial sums a row

fn stage(first: u32) {} // no preparation

fn share(kind: u32, token: u32) -> Shared {
  return row_pair(kind, min(token, TOKENS - 1u), lane);
}
fn part(row: Shared, c: u32) -> Pair {
  return Pair(subgroupShuffle(row.lo, c), subgroupShuffle(row.hi, c));
}

fn own_chunk(kind: u32, c: u32) -> Chunk {
  return Chunk(row_pair(kind, own_token(0u), c), row_pair(kind, own_token(1u), c));
}
fn store_chunk(kind: u32, c: u32, x: Chunk, by: Value) {
  if (own < TOKENS) {
    store_pair(kind, own, c, scaled(x[0], by.x));
  }
  if (own + LANES < TOKENS) {
    store_pair(kind, own + LANES, c, scaled(x[1], by.y));
  }
}
fn value_of(a: f32, b: f32) -> Value {
  return vec2f(a, b);
}
fn value_at(x: Value, r: u32) -> f32 {
  return x[r];
}

// sum + x y, element by element
fn add_product(sum: Sum, x: Chunk, y: Pair) -> Sum {
  return Sum(
    fma(x[0].hi, y.hi, fma(x[0].lo, y.lo, sum.a)),
    fma(x[1].hi, y.hi, fma(x[1].lo, y.lo, sum.b)),
  );
}
fn total(sum: Sum) -> Value {
  let a = sum.a.xy + sum.a.zw;
  let b = sum.b.xy + sum.b.zw;
  return vec2f(a.x + a.y, b.x + b.y);
}
// keep x + sum_j w[j] y[j]
fn mix4(x: Chunk, keep: Value, w: Values, y: array<Pair, 4>) -> Chunk {
  return Chunk(
    mix4_pair(x[0], keep.x, vec4f(w[0].x, w[1].x, w[2].x, w[3].x), y),
    mix4_pair(x[1], keep.y, vec4f(w[0].y, w[1].y, w[2].y, w[3].y), y),
  );
}
