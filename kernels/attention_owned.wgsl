// Products of rows that an invocation owns whole with shared rows.
//
// Arrays are indexed by what becomes a constant when functions are inlined, so that they live in
// registers: hence the lines that differ in a number only.

alias Rows = array<Chunk, 8>; // the rows an invocation owns; Chunk is pair c of each

// Of the first row owned, in the workgroup.
fn own_place() -> u32 {
  return lane;
}
fn own_rows(kind: u32) -> Rows {
  return Rows(
    own_chunk(kind, 0u), own_chunk(kind, 1u), own_chunk(kind, 2u), own_chunk(kind, 3u),
    own_chunk(kind, 4u), own_chunk(kind, 5u), own_chunk(kind, 6u), own_chunk(kind, 7u),
  );
}
// Stores by * x, without the rows past the end.
fn store_rows(kind: u32, x: ptr<function, Rows>, by: Value) {
  store_chunk(kind, 0u, (*x)[0], by);
  store_chunk(kind, 1u, (*x)[1], by);
  store_chunk(kind, 2u, (*x)[2], by);
  store_chunk(kind, 3u, (*x)[3], by);
  store_chunk(kind, 4u, (*x)[4], by);
  store_chunk(kind, 5u, (*x)[5], by);
  store_chunk(kind, 6u, (*x)[6], by);
  store_chunk(kind, 7u, (*x)[7], by);
}
fn scaled(x: Pair, by: f32) -> Pair {
  return Pair(x.lo * by, x.hi * by);
}

// x · row
fn dot_row(x: ptr<function, Rows>, row: Shared) -> Value {
  var sum = Sum();
  sum = add_product(sum, (*x)[0], part(row, 0u));
  sum = add_product(sum, (*x)[1], part(row, 1u));
  sum = add_product(sum, (*x)[2], part(row, 2u));
  sum = add_product(sum, (*x)[3], part(row, 3u));
  sum = add_product(sum, (*x)[4], part(row, 4u));
  sum = add_product(sum, (*x)[5], part(row, 5u));
  sum = add_product(sum, (*x)[6], part(row, 6u));
  sum = add_product(sum, (*x)[7], part(row, 7u));
  return total(sum);
}

// x = keep x + sum_j w[j] rows[j]
fn accumulate(x: ptr<function, Rows>, keep: Value, w: Values, rows: Passing) {
  (*x)[0] = mix_chunk((*x)[0], keep, w, parts(rows, 0u));
  (*x)[1] = mix_chunk((*x)[1], keep, w, parts(rows, 1u));
  (*x)[2] = mix_chunk((*x)[2], keep, w, parts(rows, 2u));
  (*x)[3] = mix_chunk((*x)[3], keep, w, parts(rows, 3u));
  (*x)[4] = mix_chunk((*x)[4], keep, w, parts(rows, 4u));
  (*x)[5] = mix_chunk((*x)[5], keep, w, parts(rows, 5u));
  (*x)[6] = mix_chunk((*x)[6], keep, w, parts(rows, 6u));
  (*x)[7] = mix_chunk((*x)[7], keep, w, parts(rows, 7u));
}
