// GEMM for GPUs: SIDE × SIDE outputs a workgroup, 8 × 8 of them an invocation; SIDE is 64 or 128.
//
// Slices of 16 k pass through workgroup memory, loaded as 4 × 4 blocks. The next slice is on its way
// from memory, in registers, while this one is multiplied. Accumulators are named vec4s: naga clamps
// every index that is not a constant, and a constant index costs nothing.

override SIDE: u32 = 64;
override SIDE4: u32 = SIDE / 4; // vec4s a row of a slice, blocks along a side
override LANES: u32 = SIDE * SIDE / 64;

// rows_tile[k * SIDE4 + r]: rows 4r .. 4r + 3 of the tile at step k; columns_tile alike.
var<workgroup> rows_tile: array<vec4f, SIDE4 * 16>;
var<workgroup> columns_tile: array<vec4f, SIDE4 * 16>;

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let tile_row = group.y * SIDE;
  let tile_column = group.x * SIDE;
  // Which block of either slice this invocation loads, if any: with 64 × 64 each loads two.
  let loads_a = lane < SIDE;
  let loads_b = lane >= LANES - SIDE;
  let block = lane % SIDE4;
  let quarter = lane / SIDE4 % 4;
  let at = quarter * SIDE + block;
  // Where its own 8 rows and 8 columns start, in vec4s.
  let row4 = lane / (SIDE / 8) * 2;
  let column4 = lane % (SIDE / 8) * 2;
  let row = tile_row + row4 * 4;
  let column = tile_column + column4 * 4;
  var c00 = vec4f(); var c01 = vec4f(); var c10 = vec4f(); var c11 = vec4f();
  var c20 = vec4f(); var c21 = vec4f(); var c30 = vec4f(); var c31 = vec4f();
  var c40 = vec4f(); var c41 = vec4f(); var c50 = vec4f(); var c51 = vec4f();
  var c60 = vec4f(); var c61 = vec4f(); var c70 = vec4f(); var c71 = vec4f();

  part = group.z;
  let slices = slices_of(group.z);
  let i = tile_row + block * 4;
  let j = tile_column + block * 4;
  let at_a = Walks(walk(i, M, K, A_KM), walk(i, M, K2, false));
  let at_b = Walks(walk(j, N, K, !B_NK), walk(j, N, K2, !B_NK));
  var rows = mat4x4f();
  var columns = mat4x4f();
  if (loads_a) { rows = block_of_a(at_a, slices.x, quarter); }
  if (loads_b) { columns = block_of_b(at_b, slices.x, quarter); }
  for (var slice = slices.x; slice < slices.y; slice++) {
    workgroupBarrier(); // the last slice has been read
    if (loads_a) {
      rows_tile[at] = rows[0];
      rows_tile[at + SIDE4] = rows[1];
      rows_tile[at + 2 * SIDE4] = rows[2];
      rows_tile[at + 3 * SIDE4] = rows[3];
    }
    if (loads_b) {
      columns_tile[at] = columns[0];
      columns_tile[at + SIDE4] = columns[1];
      columns_tile[at + 2 * SIDE4] = columns[2];
      columns_tile[at + 3 * SIDE4] = columns[3];
    }
    workgroupBarrier();
    if (slice + 1 < slices.y) {
      if (loads_a) { rows = block_of_a(at_a, slice + 1, quarter); }
      if (loads_b) { columns = block_of_b(at_b, slice + 1, quarter); }
    }

    for (var k = 0u; k < 16; k++) {
      let a0 = rows_tile[k * SIDE4 + row4];
      let a1 = rows_tile[k * SIDE4 + row4 + 1];
      let b0 = columns_tile[k * SIDE4 + column4];
      let b1 = columns_tile[k * SIDE4 + column4 + 1];
      c00 = fma(vec4f(a0.x), b0, c00); c01 = fma(vec4f(a0.x), b1, c01);
      c10 = fma(vec4f(a0.y), b0, c10); c11 = fma(vec4f(a0.y), b1, c11);
      c20 = fma(vec4f(a0.z), b0, c20); c21 = fma(vec4f(a0.z), b1, c21);
      c30 = fma(vec4f(a0.w), b0, c30); c31 = fma(vec4f(a0.w), b1, c31);
      c40 = fma(vec4f(a1.x), b0, c40); c41 = fma(vec4f(a1.x), b1, c41);
      c50 = fma(vec4f(a1.y), b0, c50); c51 = fma(vec4f(a1.y), b1, c51);
      c60 = fma(vec4f(a1.z), b0, c60); c61 = fma(vec4f(a1.z), b1, c61);
      c70 = fma(vec4f(a1.w), b0, c70); c71 = fma(vec4f(a1.w), b1, c71);
    }
    if (slice + 1 == SLICES2) {
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

  finish(c00, row, column); finish(c01, row, column + 4);
  finish(c10, row + 1, column); finish(c11, row + 1, column + 4);
  finish(c20, row + 2, column); finish(c21, row + 2, column + 4);
  finish(c30, row + 3, column); finish(c31, row + 3, column + 4);
  finish(c40, row + 4, column); finish(c41, row + 4, column + 4);
  finish(c50, row + 5, column); finish(c51, row + 5, column + 4);
  finish(c60, row + 6, column); finish(c61, row + 6, column + 4);
  finish(c70, row + 7, column); finish(c71, row + 7, column + 4);
}
