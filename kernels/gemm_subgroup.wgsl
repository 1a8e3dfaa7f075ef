// GEMM for adapters that run 8 lanes as one SIMD vector (Mesa's CPU adapter).
//
// One subgroup of 8 lanes computes 32 rows × 32 columns. Storage loads are scalar there and cost as
// much as the arithmetic, workgroup memory costs more: so each lane loads a different 4 rows of a
// and 4 columns of b, keeps 32 × 4 sums, and lends its rows to the others by subgroupBroadcast.

const LANES = 8u;

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group.y * 32;
  let column = group.x * 32 + lane * 4;
  var c00 = vec4f();  var c01 = vec4f();  var c02 = vec4f();  var c03 = vec4f();
  var c04 = vec4f();  var c05 = vec4f();  var c06 = vec4f();  var c07 = vec4f();
  var c08 = vec4f();  var c09 = vec4f();  var c10 = vec4f();  var c11 = vec4f();
  var c12 = vec4f();  var c13 = vec4f();  var c14 = vec4f();  var c15 = vec4f();
  var c16 = vec4f();  var c17 = vec4f();  var c18 = vec4f();  var c19 = vec4f();
  var c20 = vec4f();  var c21 = vec4f();  var c22 = vec4f();  var c23 = vec4f();
  var c24 = vec4f();  var c25 = vec4f();  var c26 = vec4f();  var c27 = vec4f();
  var c28 = vec4f();  var c29 = vec4f();  var c30 = vec4f();  var c31 = vec4f();

  if (K2 > 0) {
    let at_a = walk(row + lane * 4, M, K2, false);
    let at_b = walk(column, N, K2, !B_NK);

    for (var k4 = 0u; k4 < K2 / 4; k4++) {
      let rows = rows_of_a2(at_a, k4);
      let columns = columns_of_b2(at_b, k4);
      c00 = fold(c00, subgroupBroadcast(rows[0], 0u), columns);
      c01 = fold(c01, subgroupBroadcast(rows[1], 0u), columns);
      c02 = fold(c02, subgroupBroadcast(rows[2], 0u), columns);
      c03 = fold(c03, subgroupBroadcast(rows[3], 0u), columns);
      c04 = fold(c04, subgroupBroadcast(rows[0], 1u), columns);
      c05 = fold(c05, subgroupBroadcast(rows[1], 1u), columns);
      c06 = fold(c06, subgroupBroadcast(rows[2], 1u), columns);
      c07 = fold(c07, subgroupBroadcast(rows[3], 1u), columns);
      c08 = fold(c08, subgroupBroadcast(rows[0], 2u), columns);
      c09 = fold(c09, subgroupBroadcast(rows[1], 2u), columns);
      c10 = fold(c10, subgroupBroadcast(rows[2], 2u), columns);
      c11 = fold(c11, subgroupBroadcast(rows[3], 2u), columns);
      c12 = fold(c12, subgroupBroadcast(rows[0], 3u), columns);
      c13 = fold(c13, subgroupBroadcast(rows[1], 3u), columns);
      c14 = fold(c14, subgroupBroadcast(rows[2], 3u), columns);
      c15 = fold(c15, subgroupBroadcast(rows[3], 3u), columns);
      c16 = fold(c16, subgroupBroadcast(rows[0], 4u), columns);
      c17 = fold(c17, subgroupBroadcast(rows[1], 4u), columns);
      c18 = fold(c18, subgroupBroadcast(rows[2], 4u), columns);
      c19 = fold(c19, subgroupBroadcast(rows[3], 4u), columns);
      c20 = fold(c20, subgroupBroadcast(rows[0], 5u), columns);
      c21 = fold(c21, subgroupBroadcast(rows[1], 5u), columns);
      c22 = fold(c22, subgroupBroadcast(rows[2], 5u), columns);
      c23 = fold(c23, subgroupBroadcast(rows[3], 5u), columns);
      c24 = fold(c24, subgroupBroadcast(rows[0], 6u), columns);
      c25 = fold(c25, subgroupBroadcast(rows[1], 6u), columns);
      c26 = fold(c26, subgroupBroadcast(rows[2], 6u), columns);
      c27 = fold(c27, subgroupBroadcast(rows[3], 6u), columns);
      c28 = fold(c28, subgroupBroadcast(rows[0], 7u), columns);
      c29 = fold(c29, subgroupBroadcast(rows[1], 7u), columns);
      c30 = fold(c30, subgroupBroadcast(rows[2], 7u), columns);
      c31 = fold(c31, subgroupBroadcast(rows[3], 7u), columns);
    }
    c00 = between(c00, row + 0, column);
    c01 = between(c01, row + 1, column);
    c02 = between(c02, row + 2, column);
    c03 = between(c03, row + 3, column);
    c04 = between(c04, row + 4, column);
    c05 = between(c05, row + 5, column);
    c06 = between(c06, row + 6, column);
    c07 = between(c07, row + 7, column);
    c08 = between(c08, row + 8, column);
    c09 = between(c09, row + 9, column);
    c10 = between(c10, row + 10, column);
    c11 = between(c11, row + 11, column);
    c12 = between(c12, row + 12, column);
    c13 = between(c13, row + 13, column);
    c14 = between(c14, row + 14, column);
    c15 = between(c15, row + 15, column);
    c16 = between(c16, row + 16, column);
    c17 = between(c17, row + 17, column);
    c18 = between(c18, row + 18, column);
    c19 = between(c19, row + 19, column);
    c20 = between(c20, row + 20, column);
    c21 = between(c21, row + 21, column);
    c22 = between(c22, row + 22, column);
    c23 = between(c23, row + 23, column);
    c24 = between(c24, row + 24, column);
    c25 = between(c25, row + 25, column);
    c26 = between(c26, row + 26, column);
    c27 = between(c27, row + 27, column);
    c28 = between(c28, row + 28, column);
    c29 = between(c29, row + 29, column);
    c30 = between(c30, row + 30, column);
    c31 = between(c31, row + 31, column);
  }

  if (K > 0) {
    let at_a = walk(row + lane * 4, M, K, A_KM);
    let at_b = walk(column, N, K, !B_NK);

    for (var k4 = 0u; k4 < (K + 3) / 4; k4++) {
      let rows = rows_of_a(at_a, k4);
      let columns = columns_of_b(at_b, k4);
      c00 = fold(c00, subgroupBroadcast(rows[0], 0u), columns);
      c01 = fold(c01, subgroupBroadcast(rows[1], 0u), columns);
      c02 = fold(c02, subgroupBroadcast(rows[2], 0u), columns);
      c03 = fold(c03, subgroupBroadcast(rows[3], 0u), columns);
      c04 = fold(c04, subgroupBroadcast(rows[0], 1u), columns);
      c05 = fold(c05, subgroupBroadcast(rows[1], 1u), columns);
      c06 = fold(c06, subgroupBroadcast(rows[2], 1u), columns);
      c07 = fold(c07, subgroupBroadcast(rows[3], 1u), columns);
      c08 = fold(c08, subgroupBroadcast(rows[0], 2u), columns);
      c09 = fold(c09, subgroupBroadcast(rows[1], 2u), columns);
      c10 = fold(c10, subgroupBroadcast(rows[2], 2u), columns);
      c11 = fold(c11, subgroupBroadcast(rows[3], 2u), columns);
      c12 = fold(c12, subgroupBroadcast(rows[0], 3u), columns);
      c13 = fold(c13, subgroupBroadcast(rows[1], 3u), columns);
      c14 = fold(c14, subgroupBroadcast(rows[2], 3u), columns);
      c15 = fold(c15, subgroupBroadcast(rows[3], 3u), columns);
      c16 = fold(c16, subgroupBroadcast(rows[0], 4u), columns);
      c17 = fold(c17, subgroupBroadcast(rows[1], 4u), columns);
      c18 = fold(c18, subgroupBroadcast(rows[2], 4u), columns);
      c19 = fold(c19, subgroupBroadcast(rows[3], 4u), columns);
      c20 = fold(c20, subgroupBroadcast(rows[0], 5u), columns);
      c21 = fold(c21, subgroupBroadcast(rows[1], 5u), columns);
      c22 = fold(c22, subgroupBroadcast(rows[2], 5u), columns);
      c23 = fold(c23, subgroupBroadcast(rows[3], 5u), columns);
      c24 = fold(c24, subgroupBroadcast(rows[0], 6u), columns);
      c25 = fold(c25, subgroupBroadcast(rows[1], 6u), columns);
      c26 = fold(c26, subgroupBroadcast(rows[2], 6u), columns);
      c27 = fold(c27, subgroupBroadcast(rows[3], 6u), columns);
      c28 = fold(c28, subgroupBroadcast(rows[0], 7u), columns);
      c29 = fold(c29, subgroupBroadcast(rows[1], 7u), columns);
      c30 = fold(c30, subgroupBroadcast(rows[2], 7u), columns);
      c31 = fold(c31, subgroupBroadcast(rows[3], 7u), columns);
    }
  }

  finish(c00, row + 0, column);
  finish(c01, row + 1, column);
  finish(c02, row + 2, column);
  finish(c03, row + 3, column);
  finish(c04, row + 4, column);
  finish(c05, row + 5, column);
  finish(c06, row + 6, column);
  finish(c07, row + 7, column);
  finish(c08, row + 8, column);
  finish(c09, row + 9, column);
  finish(c10, row + 10, column);
  finish(c11, row + 11, column);
  finish(c12, row + 12, column);
  finish(c13, row + 13, column);
  finish(c14, row + 14, column);
  finish(c15, row + 15, column);
  finish(c16, row + 16, column);
  finish(c17, row + 17, column);
  finish(c18, row + 18, column);
  finish(c19, row + 19, column);
  finish(c20, row + 20, column);
  finish(c21, row + 21, column);
  finish(c22, row + 22, column);
  finish(c23, row + 23, column);
  finish(c24, row + 24, column);
  finish(c25, row + 25, column);
  finish(c26, row + 26, column);
  finish(c27, row + 27, column);
  finish(c28, row + 28, column);
  finish(c29, row + 29, column);
  finish(c30, row + 30, column);
  finish(c31, row + 31, column);
}
