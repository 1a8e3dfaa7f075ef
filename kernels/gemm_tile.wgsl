// GEMM for GPUs: 64 × 64 outputs a workgroup, 64 invocations of 8 × 8 outputs each.
//
// Tiles of 64 rows × 16 k and 16 k × 64 columns pass through workgroup memory, each invocation
// loading one 4 × 4 block of either. Accumulators are named vec4s: naga clamps every index that is
// not a constant, and a constant index costs nothing.

const ROWS4 = 16u; // vec4s a tile row of 64

// rows_tile[k * ROWS4 + r]: rows 4r .. 4r + 3 of the tile at step k; columns_tile alike.
var<workgroup> rows_tile: array<vec4f, 256>;
var<workgroup> columns_tile: array<vec4f, 256>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let tile_row = group.y * 64;
  let tile_column = group.x * 64;
  let block = lane % 16; // which 4 rows (columns) of the tile this invocation loads
  let slice = lane / 16; // and which 4 of its 16 steps of k
  let row4 = lane / 8 * 2; // first vec4 of the 8 rows it computes
  let column4 = lane % 8 * 2;
  var c00 = vec4f(); var c01 = vec4f(); var c10 = vec4f(); var c11 = vec4f();
  var c20 = vec4f(); var c21 = vec4f(); var c30 = vec4f(); var c31 = vec4f();
  var c40 = vec4f(); var c41 = vec4f(); var c50 = vec4f(); var c51 = vec4f();
  var c60 = vec4f(); var c61 = vec4f(); var c70 = vec4f(); var c71 = vec4f();

  // Two products, one loop: the second operand pair first, then the first one.
  part = group.z;
  let steps2 = (K2 + 15) / 16;
  let all = steps2 + (K + 15) / 16;
  let share = (all + SPLITS - 1) / SPLITS;
  let steps = min(all, (group.z + 1) * share);
  let at_a = walk(tile_row + block * 4, M, K, A_KM);
  let at_b = walk(tile_column + block * 4, N, K, !B_NK);
  let at_a2 = walk(tile_row + block * 4, M, K2, false);
  let at_b2 = walk(tile_column + block * 4, N, K2, !B_NK);
  for (var i = group.z * share; i < steps; i++) {
    var rows = mat4x4f();
    var columns = mat4x4f();
    if (i < steps2) {
      let k4 = i * 4 + slice;
      if (k4 * 4 < K2) {
        rows = transpose(rows_of_a2(at_a2, k4));
        columns = columns_of_b2(at_b2, k4);
      }
    } else {
      let k4 = (i - steps2) * 4 + slice;
      if (k4 * 4 < K) {
        rows = transpose(rows_of_a(at_a, k4));
        columns = columns_of_b(at_b, k4);
      }
    }
    workgroupBarrier(); // the last round has been read
    let at = slice * 4 * ROWS4 + block;
    rows_tile[at] = rows[0];
    rows_tile[at + ROWS4] = rows[1];
    rows_tile[at + 2 * ROWS4] = rows[2];
    rows_tile[at + 3 * ROWS4] = rows[3];
    columns_tile[at] = columns[0];
    columns_tile[at + ROWS4] = columns[1];
    columns_tile[at + 2 * ROWS4] = columns[2];
    columns_tile[at + 3 * ROWS4] = columns[3];
    workgroupBarrier();

    for (var k = 0u; k < 16; k++) {
      let a0 = rows_tile[k * ROWS4 + row4];
      let a1 = rows_tile[k * ROWS4 + row4 + 1];
      let b0 = columns_tile[k * ROWS4 + column4];
      let b1 = columns_tile[k * ROWS4 + column4 + 1];
      c00 = fma(vec4f(a0.x), b0, c00); c01 = fma(vec4f(a0.x), b1, c01);
      c10 = fma(vec4f(a0.y), b0, c10); c11 = fma(vec4f(a0.y), b1, c11);
      c20 = fma(vec4f(a0.z), b0, c20); c21 = fma(vec4f(a0.z), b1, c21);
      c30 = fma(vec4f(a0.w), b0, c30); c31 = fma(vec4f(a0.w), b1, c31);
      c40 = fma(vec4f(a1.x), b0, c40); c41 = fma(vec4f(a1.x), b1, c41);
      c50 = fma(vec4f(a1.y), b0, c50); c51 = fma(vec4f(a1.y), b1, c51);
      c60 = fma(vec4f(a1.z), b0, c60); c61 = fma(vec4f(a1.z), b1, c61);
      c70 = fma(vec4f(a1.w), b0, c70); c71 = fma(vec4f(a1.w), b1, c71);
    }
    if (i + 1 == steps2) {
      let row = tile_row + row4 * 4;
      let column = tile_column + column4 * 4;
      c00 = between(c00, row, column); c01 = between(c01, row, column + 4);
      c10 = between(c10, row + 1, column); c11 = between(c11, row + 1, column + 4);
      c20 = between(c20, row + 2, column); c21 = between(c21, row + 2, column + 4);
      c30 = between(c30, row + 3, column); c31 = between(c31, row + 3, column + 4);
      c40 = between(c40, row + 4, column); c41 = between(c41, row + 4, column + 4);
      c50 = between(c50, row + 5, column); c51 = between(c51, row + 5, column + 4);
      c60 = between(c60, row + 6, column); c61 = between(c61, row + 6, column + 4);
      c70 = between(c70, row + 7, column); c71 = between(c71, row + 7, column + 4);
    }
  }

  let row = tile_row + row4 * 4;
  let column = tile_column + column4 * 4;
  finish(c00, row, column); finish(c01, row, column + 4);
  finish(c10, row + 1, column); finish(c11, row + 1, column + 4);
  finish(c20, row + 2, column); finish(c21, row + 2, column + 4);
  finish(c30, row + 3, column); finish(c31, row + 3, column + 4);
  finish(c40, row + 4, column); finish(c41, row + 4, column + 4);
  finish(c50, row + 5, column); finish(c51, row + 5, column + 4);
  finish(c60, row + 6, column); finish(c61, row + 6, column + 4);
  finish(c70, row + 7, column); finish(c71, row + 7, column + 4);
}
