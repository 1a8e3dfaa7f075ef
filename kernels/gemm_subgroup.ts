/**
 * Source of the GEMM for adapters that run 8 lanes as one SIMD vector (Mesa's CPU adapter).
 *
 * @module
 */
import { list } from "./written.ts";

/** Rows that what is done once to each sum is written for. */
const TURN = 4;

/**
 * Writes the kernel: one subgroup of 8 lanes computes 32 rows × `32 * blocks` columns.
 *
 * A load takes 42 instructions there at best, workgroup memory costs more: so each lane loads a
 * different 4 rows of a and 4 columns of each block of b, keeps their 32 sums, and lends its rows to
 * the others by subgroupBroadcast. Sums are named vec4s, for an array with an index would live in
 * memory; that is why this source is written out by a program.
 *
 * More columns mean fewer loads for each product, until the loop outgrows the 32 KiB that a core
 * keeps of its instructions: two blocks fit, three do not.
 */
export function subgroupGemm(blocks: 1 | 2): string {
  const eachBlock = (line: (block: number) => string) => list(blocks, line, "\n");
  const each = (line: (block: number, row: number) => string, rows = 32) =>
    eachBlock((block) => list(rows, (row) => line(block, row), "\n"));
  const sum = (block: number, row: number) => `c${block}_${row}`;
  const foldAll = each((block, row) =>
    `${sum(block, row)} = ` +
    `fold(${sum(block, row)}, subgroupBroadcast(rows[${row % 4}], ${row >> 2}u), columns${block});`
  );
  // Written for a few rows, past which the sums turn: for all of them it takes three times as long
  // to compile, and no less to run.
  const turned = (block: number, row: number) =>
    row + TURN < 32 ? sum(block, row + TURN) : `first${block}_${row + TURN - 32}`;
  const inTurns = (line: (block: number, row: number) => string) => `
  for (var r = row; r < row + 32; r += ${TURN}) {
    ${each(line, TURN)}
    ${each((block, row) => `let first${block}_${row} = ${sum(block, row)};`, TURN)}
    ${each((block, row) => `${sum(block, row)} = ${turned(block, row)};`)}
  }`;

  return /* wgsl */ `
@compute @workgroup_size(8)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group.y * 32;
  let column = (group.x * 8 + lane) * ${4 * blocks};
  ${each((block, row) => `var ${sum(block, row)} = vec4f();`)}

  if (K2 > 0) {
    let at_a = walk(row + lane * 4, M, K2, false);
    ${eachBlock((block) => `let at_b${block} = walk(column + ${4 * block}, N, K2, !B_NK);`)}
    for (var k4 = 0u; k4 < K2 / 4; k4++) {
      let rows = rows_of_a2(at_a, k4);
      ${eachBlock((block) => `let columns${block} = columns_of_b2(at_b${block}, k4);`)}
      ${foldAll}
    }
    ${
    inTurns((block, row) =>
      `${sum(block, row)} = between(${sum(block, row)}, r + ${row}, column + ${4 * block});`
    )
  }
  }

  if (K > 0) {
    let at_a = walk(row + lane * 4, M, K, A_KM);
    ${eachBlock((block) => `let at_b${block} = walk(column + ${4 * block}, N, K, !B_NK);`)}
    for (var k4 = 0u; k4 < (K + 3) / 4; k4++) {
      let rows = rows_of_a(at_a, k4);
      ${eachBlock((block) => `let columns${block} = columns_of_b(at_b${block}, k4);`)}
      ${foldAll}
    }
  }

  ${eachBlock((block) => `let affine${block} = affine_of(column + ${4 * block});`)}
  ${
    inTurns((block, row) =>
      `finish_by(affine${block}, ${sum(block, row)}, r + ${row}, column + ${4 * block});`
    )
  }
}
`;
}
