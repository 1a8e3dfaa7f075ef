// GEMM for GPUs with matrix units (tensor cores): 64 × 64 outputs a workgroup of 4 subgroups, each
// of them 32 × 32 in 2 × 2 fragments; see matrix_fragment.wgsl.
//
// Slices pass through workgroup memory as in gemm_tile.ts, but as f16, which also operands in f32
// are rounded to; sums stay f32. A lane does not know which elements of a fragment it holds: what
// is done to single sums is done in workgroup memory, one fragment of each subgroup at a time.

// vec4s a row of a slice: 64 halves, and 8 more, so that 8 rows lie in different banks.
const STRIDE = 18u;

// [k * STRIDE + r]: rows 4r .. 4r + 3 of the tile at step k; from COLUMNS on, columns alike.
var<workgroup> halves: array<vec4<Element>, STRIDE * 32>;
const COLUMNS = STRIDE * 16;
// A fragment of each subgroup.
var<workgroup> sums: array<vec4f, 4 * 64>;
const SUMS_STRIDE = 4u;

// Row and column of `sums[i]` in the result; `corner`: those of the first subgroup's fragment.
fn position(i: u32, corner: vec2u) -> vec2u {
  let owner = i / 64;
  return corner + vec2u(owner / 2 * 32 + i % 64 / 4, owner % 2 * 32 + i % 4 * 4);
}

fn spread(sum: Sum, subgroup: u32) {
  workgroupBarrier(); // the last fragments have been read
  store_sum(sum, subgroup * 64);
  workgroupBarrier();
}

fn between_all(sum: Sum, subgroup: u32, lane: u32, corner: vec2u) -> Sum {
  if (K2 == 0) { return sum; }
  spread(sum, subgroup);
  for (var i = lane; i < 256; i += 128) {
    let at = position(i, corner);
    sums[i] = between(sums[i], at.x, at.y);
  }
  workgroupBarrier();
  return sum_at(subgroup * 64);
}

fn finish_all(sum: Sum, subgroup: u32, lane: u32, corner: vec2u) {
  spread(sum, subgroup);
  for (var i = lane; i < 256; i += 128) {
    let at = position(i, corner);
    finish(sums[i], at.x, at.y);
  }
}

@compute @workgroup_size(128)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
  @builtin(subgroup_id) subgroup: u32,
) {
  // Half of the lanes load a block of a each, half one of b: neighbours load what are neighbours in
  // memory, along k or across.
  let loads_a = lane < 64;
  let k_major = select(!B_NK, A_KM, loads_a);
  let block = select(lane / 4, lane, k_major) % 16;
  let quarter = select(lane, lane / 16, k_major) % 4;
  let at = quarter * 4 * STRIDE + block + select(COLUMNS, 0u, loads_a);
  // Where this subgroup's rows and columns start in a slice, in vec4s.
  let row4 = subgroup / 2 * 8;
  let column4 = COLUMNS + subgroup % 2 * 8;
  let corner00 = vec2u(group.y, group.x) * 64;
  let corner01 = corner00 + vec2u(0, 16);
  let corner10 = corner00 + vec2u(16, 0);
  let corner11 = corner00 + 16;
  var c00 = Sum(); var c01 = Sum(); var c10 = Sum(); var c11 = Sum();

  part = group.z;
  let slices = slices_of(group.z);
  let i = corner00.x + block * 4;
  let j = corner00.y + block * 4;
  let at_a = Walks(walk(i, M, K, A_KM), walk(i, M, K2, false));
  let at_b = Walks(walk(j, N, K, !B_NK), walk(j, N, K2, !B_NK));
  var next = Block();
  if (loads_a) { next = block_of_a(at_a, slices.x, quarter); }
  else { next = block_of_b(at_b, slices.x, quarter); }
  for (var slice = slices.x; slice < slices.y; slice++) {
    workgroupBarrier(); // the last slice has been read
    halves[at] = next[0];
    halves[at + STRIDE] = next[1];
    halves[at + 2 * STRIDE] = next[2];
    halves[at + 3 * STRIDE] = next[3];
    workgroupBarrier();
    if (slice + 1 < slices.y) {
      if (loads_a) { next = block_of_a(at_a, slice + 1, quarter); }
      else { next = block_of_b(at_b, slice + 1, quarter); }
    }

    let a0 = left_down(row4);
    let a1 = left_down(row4 + 4);
    let b0 = right_at(column4);
    let b1 = right_at(column4 + 4);
    c00 = add_product(a0, b0, c00); c01 = add_product(a0, b1, c01);
    c10 = add_product(a1, b0, c10); c11 = add_product(a1, b1, c11);
    if (slice + 1 == SLICES2) {
      c00 = between_all(c00, subgroup, lane, corner00);
      c01 = between_all(c01, subgroup, lane, corner01);
      c10 = between_all(c10, subgroup, lane, corner10);
      c11 = between_all(c11, subgroup, lane, corner11);
    }
  }

  finish_all(c00, subgroup, lane, corner00);
  finish_all(c01, subgroup, lane, corner01);
  finish_all(c10, subgroup, lane, corner10);
  finish_all(c11, subgroup, lane, corner11);
}
