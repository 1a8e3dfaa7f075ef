import assert from "node:assert/strict";
import { ropeTable } from "../../kernels/rope.ts";
import { rotateRow } from "../../kernels/rope_cpu.ts";
import { assertClose, uniform } from "../testing.ts";

const HALF = 32;

// The published values are of f32 angles: one up to 2 pi errs by 2^-22 in each of its two roundings
// (period, angle), and so does its sine. Ours round once more, to f32.
const PUBLISHED = { atol: 2 ** -20, rtol: 0 };

/** The angle entries of a patch. */
function patchOf(table: Float32Array, patch: number): Float32Array {
  return table.subarray(patch * HALF, (patch + 1) * HALF);
}

Deno.test("ropeTable() has timm's values on 14 x 14 patches", () => {
  const { cos, sin } = ropeTable({ height: 14, width: 14 });
  assert.equal(cos.length, 196 * HALF);
  assert.equal(sin.length, 196 * HALF);
  const first = [0.43388376, 0.94367915, 0.13887350, -0.62976635];
  assertClose(patchOf(sin, 0).subarray(0, 4), first, PUBLISHED);
  const firstCos = [0.90096885, -0.33086196, -0.99031013, -0.77678460];
  assertClose(patchOf(cos, 0).subarray(0, 4), firstCos, PUBLISHED);
  // One patch to the right: y stays, x moves.
  const right = patchOf(sin, 1);
  assertClose([right[0]!, right[16]!], [0.43388376, 0.97492790], PUBLISHED);
});

Deno.test("ropeTable() has timm's values on 4 x 6 patches, y before x", () => {
  const { cos, sin } = ropeTable({ height: 4, width: 6 });
  assert.equal(cos.length, 24 * HALF);
  const expected = [ // patch, then cos and sin of angles 1, 15 (y), 16, 17, 31 (x)
    [0, -0.92407025, 0.99802617, 0.49999989, -0.70749853, 0.99756336],
    [4, -0.92407025, 0.99802617, -1, -0.70687167, 0.99912258],
    [8, 0.38283700, 0.99978062, 0.49999989, 0.70718507, 0.99990250],
    [20, -0.92407025, 0.99802617, 0.49999989, 0.70718507, 0.99990250],
  ];
  const expectedSin = [
    [0, 0.38222268, -0.06279937, 0.86602547, 0.70671482, -0.06976630],
    [4, 0.38222268, -0.06279937, 0, 0.70734182, 0.04188156],
    [8, -0.92381591, -0.02094537, -0.86602547, -0.70702848, -0.01396415],
    [20, -0.38222268, 0.06279937, -0.86602547, -0.70702848, -0.01396415],
  ];
  for (const [table, rows] of [[cos, expected], [sin, expectedSin]] as const) {
    for (const [patch, ...values] of rows) {
      const angles = patchOf(table, patch!);
      assertClose([1, 15, 16, 17, 31].map((j) => angles[j]!), values, PUBLISHED);
    }
  }
});

Deno.test("ropeTable() follows head size and temperature", () => {
  // 8 dimensions: 2 periods, 1 and 9 ** (1 / 2) = 3. One patch in two: y = 0, x = -1/2, 1/2.
  const { cos, sin } = ropeTable({ height: 1, width: 2, headDim: 8, temperature: 9 });
  const [half, sixth] = [Math.PI, Math.PI / 3];
  assertClose(cos, [1, 1, -1, Math.cos(sixth), 1, 1, -1, Math.cos(sixth)], PUBLISHED);
  const x = [Math.sin(half), Math.sin(sixth)];
  assertClose(sin, [0, 0, -x[0]!, -x[1]!, 0, 0, x[0]!, x[1]!], PUBLISHED);
});

Deno.test("rotateRow() turns dimension d with d + 32, and back", () => {
  const angles = { cos: new Float64Array(HALF).fill(0.6), sin: new Float64Array(HALF).fill(0.8) };
  const row = Float64Array.from({ length: 2 * HALF }, (_, d) => d);
  rotateRow(row, angles);
  // d = 3: 3 * 0.6 - 35 * 0.8, and d = 35: 35 * 0.6 + 3 * 0.8.
  assertClose([row[3]!, row[35]!], [-26.2, 23.4], { atol: 1e-12, rtol: 0 });
  rotateRow(row, angles, true);
  assertClose(row, Float64Array.from(row, (_, d) => d), { atol: 1e-12, rtol: 0 });
});

Deno.test("rotateRow() makes products depend on the difference of places only", () => {
  const { cos, sin } = ropeTable({ height: 4, width: 6 });
  const [query, key] = [uniform(64, 1), uniform(64, 2)].map((row) => Float64Array.from(row));
  const product = (i: number, j: number) => {
    const [q, k] = [query!.slice(), key!.slice()];
    rotateRow(q, { cos: patchOf(cos, i), sin: patchOf(sin, i) });
    rotateRow(k, { cos: patchOf(cos, j), sin: patchOf(sin, j) });
    return q.reduce((sum, x, d) => sum + x * k[d]!, 0);
  };
  // Two rows down and one to the left; the table's f32 values err by 2^-25 in 128 terms below 1.
  assertClose([product(1, 12), product(9, 20)], Array(2).fill(product(2, 13)), {
    atol: 128 * 2 ** -24,
    rtol: 0,
  });
});

Deno.test("ropeTable() refuses an empty grid and a head it cannot split in four", () => {
  assert.throws(() => ropeTable({ height: 0, width: 6 }), RangeError);
  assert.throws(() => ropeTable({ height: 4, width: 2.5 }), RangeError);
  assert.throws(() => ropeTable({ height: 4, width: 6, headDim: 30 }), RangeError);
});
