// Shared rows by workgroup memory, for GPUs without subgroups: a lane owns one row. 16 rows of each
// of two kinds at a time are read, turned and kept by the whole workgroup; all lanes then read the
// same words.

const LANES = 64u;
const OWNED = 1u;
const SPAN = 64u; // rows a workgroup owns
const PASS = 4u; // shared rows at a time
const TILE = 16u;

alias Value = f32;
alias Chunk = Pair;
alias Shared = u32; // row of the tile
alias Sum = vec4f; // of products, four partial sums

var<workgroup> tile: array<array<Pair, 8>, 32>; // TILE rows of KIND_A, then of KIND_B

// Every 16 rows, reads the next 16; called by all lanes alike, it contains barriers.
fn stage(first: u32) {
  if (first % TILE == 0u) {
    workgroupBarrier(); // all lanes are done with the last rows
    for (var i = lane; i < TILE * 8u; i += LANES) {
      let row = i / 8u;
      let token = min(first + row, TOKENS - 1u);
      tile[row][i % 8u] = row_pair(KIND_A, token, i % 8u);
      tile[row + TILE][i % 8u] = row_pair(KIND_B, token, i % 8u);
    }
    workgroupBarrier();
  }
}

fn share(kind: u32, token: u32) -> Shared {
  return token % TILE + select(0u, TILE, kind == KIND_B);
}
fn part(row: Shared, c: u32) -> Pair {
  return tile[row][c];
}

fn own_chunk(kind: u32, c: u32) -> Chunk {
  return row_pair(kind, own_token(0u), c);
}
fn store_chunk(kind: u32, c: u32, x: Chunk, by: Value) {
  if (own < TOKENS) {
    store_pair(kind, own, c, scaled(x, by));
  }
}
fn value_of(x: array<f32, OWNED>) -> Value {
  return x[0];
}
fn value_at(x: Value, r: u32) -> f32 {
  return x;
}

fn add_product(sum: Sum, x: Chunk, y: Pair) -> Sum {
  return fma(x.hi, y.hi, fma(x.lo, y.lo, sum));
}
fn total(sum: Sum) -> Value {
  return total_of(sum);
}
fn mix_chunk(x: Chunk, keep: Value, w: Values, y: Parts) -> Chunk {
  return mix_pair(x, keep, Scalars(w[0], w[1], w[2], w[3]), y);
}

alias Passing = array<Shared, PASS>; // shared rows
alias Parts = array<Pair, PASS>; // a pair of each
alias Values = array<Value, PASS>; // a number for each row owned, for each of them
alias Scalars = vec4f; // a number for each of them

// Those past the end repeat the last one.
fn share_rows(kind: u32, token: u32) -> Passing {
  return Passing(
    share(kind, token), share(kind, token + 1u), share(kind, token + 2u), share(kind, token + 3u),
  );
}
fn parts(rows: Passing, c: u32) -> Parts {
  return Parts(part(rows[0], c), part(rows[1], c), part(rows[2], c), part(rows[3], c));
}
fn dot_rows(x: ptr<function, Rows>, rows: Passing) -> Values {
  return Values(
    dot_row(x, rows[0]), dot_row(x, rows[1]), dot_row(x, rows[2]), dot_row(x, rows[3]),
  );
}
fn mix_pair(x: Pair, keep: f32, w: Scalars, y: Parts) -> Pair {
  var lo = x.lo * keep;
  var hi = x.hi * keep;
  lo = fma(vec4f(w.x), y[0].lo, lo);
  hi = fma(vec4f(w.x), y[0].hi, hi);
  lo = fma(vec4f(w.y), y[1].lo, lo);
  hi = fma(vec4f(w.y), y[1].hi, hi);
  lo = fma(vec4f(w.z), y[2].lo, lo);
  hi = fma(vec4f(w.z), y[2].hi, hi);
  lo = fma(vec4f(w.w), y[3].lo, lo);
  hi = fma(vec4f(w.w), y[3].hi, hi);
  return Pair(lo, hi);
}

// Arithmetic on each number, beside attention_fours.wgsl.
fn minus_each(x: Values, y: Scalars) -> Values {
  return Values(x[0] - y[0], x[1] - y[1], x[2] - y[2], x[3] - y[3]);
}
fn raised(highest: Value, x: Values) -> Value {
  return max(highest, max(max(x[0], x[1]), max(x[2], x[3])));
}
fn sum_of(x: Values) -> Value {
  return (x[0] + x[1]) + (x[2] + x[3]);
}
// Numbers for the shared rows from `first` on; `other` for those past the end.
fn within(x: Values, first: u32, other: f32) -> Values {
  return Values(
    x[0],
    select(Value(other), x[1], first + 1u < TOKENS),
    select(Value(other), x[2], first + 2u < TOKENS),
    select(Value(other), x[3], first + 3u < TOKENS),
  );
}
