/**
 * Source of the GEMM for GPUs: tiles of the operands pass through workgroup memory.
 *
 * @module
 */
import { list } from "./written.ts";

/**
 * Writes the kernel: side × side outputs a workgroup, 8 × 8 of them an invocation.
 *
 * Slices of 16 k pass through workgroup memory, loaded as 4 × 4 blocks. The next slice is on its way
 * from memory, in registers, while this one is multiplied.
 *
 * Sums are named vec4s and the steps of a slice are written out, which is why a program writes this
 * source: naga clamps every index that is not a constant, and counts the turns of every loop.
 */
export function tileGemm(side: 64 | 128): string {
  const sums = [0, 1].flatMap((half) =>
    [..."xyzw"].map((part, row) => ({
      ...{ left: `l${half}_${row}`, right: `r${half}_${row}`, a: `a${half}.${part}` },
      row: `row + ${half * side / 2 + row}`,
    }))
  );
  const each = (line: (sum: typeof sums[number]) => string) => sums.map(line).join("\n");
  // Groups of four steps have their columns in an order of their own, see `place` below.
  const step = (k: number) =>
    `let a0 = rows_tile[${k}][row${k >> 2}];
let a1 = rows_tile[${k}][row${k >> 2} + ${side / 8}];
let b0 = columns_tile[${k}][column${k >> 2}];
let b1 = columns_tile[${k}][column${k >> 2} + ${side / 8}];
${
      each(({ left, right, a }) =>
        `${left} = fma(vec4f(${a}), b0, ${left}); ${right} = fma(vec4f(${a}), b1, ${right});`
      )
    }`;
  const steps = list(16, (k) => `{ ${step(k)} }`, "\n");
  const store = (tile: string, at: string, block: string) =>
    list(4, (i) => `${tile}[4 * ${at}.y + ${i}][${at}.x ^ (2 * ${at}.y)] = ${block}[${i}];`, "\n");

  return /* wgsl */ `
const SIDE = ${side}u;
const SIDE4 = SIDE / 4; // vec4s a row of a slice, blocks along a side
const LANES = SIDE * SIDE / 64;
const ROWS = SIDE / 8; // invocations above each other

// rows_tile[k][r]: rows 4r .. 4r + 3 of the tile at step k; columns_tile alike. But r is xored with
// 2 (k / 4): so do neither those that store blocks along k meet in a bank, nor those along rows.
var<workgroup> rows_tile: array<array<vec4f, SIDE4>, 16>;
var<workgroup> columns_tile: array<array<vec4f, SIDE4>, 16>;

// Which block of a slice an invocation loads, and of which four steps: neighbours load what are
// neighbours in memory.
fn place(i: u32, k_major: bool) -> vec2u {
  if (k_major) { return vec2u(i % SIDE4, i / SIDE4 % 4); }
  return vec2u(i / 4 % SIDE4, i % 4);
}

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let tile_row = group.y * SIDE;
  let tile_column = group.x * SIDE;
  // Who loads a block of a, who one of b: with 64 × 64 all load both.
  let loads_a = lane < SIDE;
  let loads_b = lane >= LANES - SIDE;
  let place_a = place(lane, A_KM);
  let place_b = place(lane, !B_NK);
  // Rows and columns are in vec4s that lie apart, so that neighbours read neighbours.
  let row0 = lane / 8 % ROWS;
  let row1 = row0 ^ 2; let row2 = row0 ^ 4; let row3 = row0 ^ 6;
  let column0 = lane % 8 + lane / 8 / ROWS * 8;
  let column1 = column0 ^ 2; let column2 = column0 ^ 4; let column3 = column0 ^ 6;
  let row = tile_row + row0 * 4;
  let column = tile_column + column0 * 4;
  ${each(({ left, right }) => `var ${left} = vec4f(); var ${right} = vec4f();`)}

  part = group.z;
  let slices = slices_of(group.z);
  let i = tile_row + place_a.x * 4;
  let j = tile_column + place_b.x * 4;
  let at_a = Walks(walk(i, M, K, A_KM), walk(i, M, K2, false));
  let at_b = Walks(walk(j, N, K, !B_NK), walk(j, N, K2, !B_NK));
  var rows = Block();
  var columns = Block();
  if (loads_a) { rows = block_of_a(at_a, slices.x, place_a.y); }
  if (loads_b) { columns = block_of_b(at_b, slices.x, place_b.y); }
  for (var slice = slices.x; slice < slices.y; slice++) {
    workgroupBarrier(); // the last slice has been read
    if (loads_a) { ${store("rows_tile", "place_a", "rows")} }
    if (loads_b) { ${store("columns_tile", "place_b", "columns")} }
    workgroupBarrier();
    if (slice + 1 < slices.y) {
      if (loads_a) { rows = block_of_a(at_a, slice + 1, place_a.y); }
      if (loads_b) { columns = block_of_b(at_b, slice + 1, place_b.y); }
    }
    ${steps}
    if (slice + 1 == SLICES2) {
      ${
    each(({ left, right, row }) =>
      `${left} = between(${left}, ${row}, column); ` +
      `${right} = between(${right}, ${row}, column + ${side / 2});`
    )
  }
    }
  }
  ${
    each(({ left, right, row }) =>
      `finish(${left}, ${row}, column); finish(${right}, ${row}, column + ${side / 2});`
    )
  }
}
`;
}
