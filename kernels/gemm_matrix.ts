/**
 * Source of the GEMM for GPUs with matrix units (tensor cores).
 *
 * @module
 */
import fragment from "./gemm_matrix_fragment.wgsl" with { type: "text" };

/**
 * Writes the kernel: side × side outputs a workgroup, in fragments of 16 × 16, of which each
 * subgroup has `side / 32` by 2; see `gemm_matrix_fragment.wgsl`.
 *
 * Slices pass through workgroup memory as in `gemm_tile.ts`, but as f16, which operands in f32 are
 * rounded to as well; sums stay f32. A lane does not know which elements of a fragment it holds:
 * what is done to single sums is done in workgroup memory, one fragment of each subgroup at a time.
 */
export function matrixGemm(side: 64 | 128): string {
  const rows = Array.from({ length: side / 32 }, (_, row) => row);
  const fragments = rows.flatMap((row) => [0, 1].map((column) => ({ row, column })));
  const each = (line: (sum: string, row: number, column: number) => string) =>
    fragments.map(({ row, column }) => line(`c${row}${column}`, row, column)).join("\n");
  const corner = (row: number, column: number) => `corner + vec2u(${16 * row}, ${16 * column})`;

  return /* wgsl */ `
const SIDE = ${side}u;
const LANES = 2 * SIDE;
const SUBGROUPS = LANES / 32; // two above each other
const SIDE4 = SIDE / 4; // blocks along a side
// vec4s a row of a slice: two more than its halves take, so that 8 rows lie in different banks.
const STRIDE = SIDE4 + 2;

// rows_tile[k * STRIDE + r]: rows 4r .. 4r + 3 of the tile at step k; columns_tile alike.
var<workgroup> rows_tile: array<vec4<Element>, STRIDE * 16>;
var<workgroup> columns_tile: array<vec4<Element>, STRIDE * 16>;
// A fragment of each subgroup.
var<workgroup> sums: array<vec4f, SUBGROUPS * 64>;

${fragment}

// Where a subgroup's part of the tile starts, in elements.
fn part_of(subgroup: u32) -> vec2u {
  return vec2u(subgroup % 2 * (SIDE / 2), subgroup / 2 * 32);
}

// Row and column of sums[i] in the result; corner: of the tile's fragment, for the first subgroup.
fn position(i: u32, corner: vec2u) -> vec2u {
  return corner + part_of(i / 64) + vec2u(i % 64 / 4, i % 4 * 4);
}

fn spread(sum: Sum, subgroup: u32) {
  workgroupBarrier(); // the last fragments have been read
  store_sum(sum, subgroup * 64);
  workgroupBarrier();
}

fn between_all(sum: Sum, subgroup: u32, lane: u32, corner: vec2u) -> Sum {
  if (K2 == 0) { return sum; }
  spread(sum, subgroup);
  for (var i = lane; i < SUBGROUPS * 64; i += LANES) {
    let at = position(i, corner);
    sums[i] = between(sums[i], at.x, at.y);
  }
  workgroupBarrier();
  return sum_at(subgroup * 64);
}

fn finish_all(sum: Sum, subgroup: u32, lane: u32, corner: vec2u) {
  spread(sum, subgroup);
  for (var i = lane; i < SUBGROUPS * 64; i += LANES) {
    let at = position(i, corner);
    finish(sums[i], at.x, at.y);
  }
}

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
  @builtin(subgroup_id) subgroup: u32,
) {
  // Half of the lanes load a block of a each, half one of b; neighbours what are neighbours in
  // memory.
  let loads_a = lane < SIDE;
  let k_major = select(!B_NK, A_KM, loads_a);
  let block = select(lane / 4, lane, k_major) % SIDE4;
  let quarter = select(lane, lane / SIDE4, k_major) % 4;
  let at = quarter * 4 * STRIDE + block;
  // Where this subgroup's rows and columns start in a slice, in vec4s.
  let own = part_of(subgroup) / 4;
  let corner = vec2u(group.y, group.x) * SIDE;
  ${each((sum) => `var ${sum} = Sum();`)}

  part = group.z;
  let slices = slices_of(group.z);
  let i = corner.x + block * 4;
  let j = corner.y + block * 4;
  let at_a = Walks(walk(i, M, K, A_KM), walk(i, M, K2, false));
  let at_b = Walks(walk(j, N, K, !B_NK), walk(j, N, K2, !B_NK));
  var next = mat4x4<Element>();
  if (loads_a) { next = block_of_a(at_a, slices.x, quarter); }
  else { next = block_of_b(at_b, slices.x, quarter); }
  for (var slice = slices.x; slice < slices.y; slice++) {
    workgroupBarrier(); // the last slice has been read
    if (loads_a) {
      rows_tile[at] = next[0];
      rows_tile[at + STRIDE] = next[1];
      rows_tile[at + 2 * STRIDE] = next[2];
      rows_tile[at + 3 * STRIDE] = next[3];
    } else {
      columns_tile[at] = next[0];
      columns_tile[at + STRIDE] = next[1];
      columns_tile[at + 2 * STRIDE] = next[2];
      columns_tile[at + 3 * STRIDE] = next[3];
    }
    workgroupBarrier();
    if (slice + 1 < slices.y) {
      if (loads_a) { next = block_of_a(at_a, slice + 1, quarter); }
      else { next = block_of_b(at_b, slice + 1, quarter); }
    }

    ${rows.map((row) => `let a${row} = left_at(own.x + ${4 * row});`).join("\n")}
    let b0 = right_at(own.y);
    let b1 = right_at(own.y + 4);
    ${each((sum, row, column) => `${sum} = add_product(a${row}, b${column}, ${sum});`)}
    if (slice + 1 == SLICES2) {
      ${
    each((sum, row, column) =>
      `${sum} = between_all(${sum}, subgroup, lane, ${corner(row, column)});`
    )
  }
    }
  }
  ${each((sum, row, column) => `finish_all(${sum}, subgroup, lane, ${corner(row, column)});`)}
}
`;
}
