// Shared rows by workgroup memory, for GPUs: a lane owns one row. 16 rows of each of two kinds at
// a time are read, turned and kept by the whole workgroup; all lanes then read the same words.

const LANES = 64u;
const OWNED = 1u;
const SPAN = 64u; // rows a workgroup owns
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
  return mix_pair(x, keep, Numbers(w[0], w[1], w[2], w[3]), y);
}
