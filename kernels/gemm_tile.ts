/**
 * Source of the GEMM for GPUs: tiles of the operands pass through workgroup memory.
 *
 * @module
 */
import { count, list } from "./written.ts";

/** What an invocation and a workgroup compute. */
export interface Tile {
  /** Rows and columns of a workgroup. */
  side: 64 | 128;
  /** Columns of an invocation, which has 8 rows. */
  columns: 4 | 8;
}

/**
 * Writes the kernel.
 *
 * Slices of 16 k pass through workgroup memory, loaded as 4 × 4 blocks. With 8 columns the next slice
 * is on its way from memory, in registers, while this one is multiplied. With 4 it is not: there
 * other workgroups have to have something to do meanwhile, and more of them run with fewer registers.
 *
 * Sums are named vec4s and the steps of a slice are written out, which is why a program writes this
 * source: naga clamps every index that is not a constant, and counts the turns of every loop.
 */
export function tileGemm({ side, columns }: Tile): string {
  const lanes = side * side / (8 * columns);
  const isAhead = columns === 8;
  const vectors = count(columns / 4);
  const sums = [0, 1].flatMap((half) =>
    [..."xyzw"].flatMap((part, row) =>
      vectors.map((j) => ({
        ...{ sum: `s${half}${row}${j}`, a: `a${half}.${part}`, b: `b${j}` },
        at: `row + ${half * side / 2 + row}, column + ${j * side / 2}`,
      }))
    )
  );
  const each = (line: (sum: typeof sums[number]) => string) => sums.map(line).join("\n");
  // Groups of four steps have their columns in an order of their own, see `place` below.
  const step = (k: number) =>
    `let a0 = rows_tile[${k}][row${k >> 2}];
let a1 = rows_tile[${k}][row${k >> 2} + ${side / 8}];
${
      vectors.map((j) => `let b${j} = columns_tile[${k}][column${k >> 2} + ${j * side / 8}];`)
        .join("\n")
    }
${each(({ sum, a, b }) => `${sum} = fma(vec4f(${a}), ${b}, ${sum});`)}`;
  const steps = list(16, (k) => `{ ${step(k)} }`, "\n");
  const stored = (tile: string, at: string, block: string) =>
    list(4, (i) => `${tile}[4 * ${at}.y + ${i}][${at}.x ^ (2 * ${at}.y)] = ${block}[${i}];`, "\n");
  // Where there are enough invocations, each has a block of one operand.
  const hasOne = lanes >= 2 * side;
  const [blockA, blockB] = hasOne ? ["block", "block"] : ["rows", "columns"];
  const both = (a: string, b: string) =>
    hasOne ? `if (lane < SIDE) { ${a} } else { ${b} }` : `${a}\n${b}`;
  const declare = [...new Set([blockA, blockB])].map((block) => `var ${block}: Block;`).join(" ");
  const load = (slice: string) =>
    both(
      `${blockA} = block_of_a(at_a, ${slice}, place_a.y);`,
      `${blockB} = block_of_b(at_b, ${slice}, place_b.y);`,
    );
  const store = both(
    stored("rows_tile", "place_a", blockA),
    stored("columns_tile", "place_b", blockB),
  );

  return /* wgsl */ `
const SIDE = ${side}u;
const SIDE4 = SIDE / 4; // vec4s a row of a slice, blocks along a side
const LANES = ${lanes}u;
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
  let place_a = place(lane, A_KM);
  let place_b = place(lane, !B_NK);
  // Rows and columns are in vec4s that lie apart, so that neighbours read neighbours.
  let row0 = lane / 8 % ROWS;
  let row1 = row0 ^ 2; let row2 = row0 ^ 4; let row3 = row0 ^ 6;
  let column0 = lane % 8 + lane / 8 / ROWS * 8;
  let column1 = column0 ^ 2; let column2 = column0 ^ 4; let column3 = column0 ^ 6;
  let row = tile_row + row0 * 4;
  let column = tile_column + column0 * 4;
  ${each(({ sum }) => `var ${sum} = vec4f();`)}

  part = group.z;
  let slices = slices_of(group.z);
  let i = tile_row + place_a.x * 4;
  let j = tile_column + place_b.x * 4;
  let at_a = Walks(walk(i, M, K, A_KM), walk(i, M, K2, false));
  let at_b = Walks(walk(j, N, K, !B_NK), walk(j, N, K2, !B_NK));
  ${declare}
  ${isAhead ? load("slices.x") : ""}
  for (var slice = slices.x; slice < slices.y; slice++) {
    ${isAhead ? "" : load("slice")}
    workgroupBarrier(); // the last slice has been read
    ${store}
    workgroupBarrier();
    ${isAhead ? `if (slice + 1 < slices.y) { ${load("slice + 1")} }` : ""}
    ${steps}
    if (slice + 1 == SLICES2) {
      ${each(({ sum, at }) => `${sum} = between(${sum}, ${at});`)}
    }
  }
  ${each(({ sum, at }) => `finish(${sum}, ${at});`)}
}
`;
}
