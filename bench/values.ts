/**
 * Seeded values, and how far two lists of values are apart.
 *
 * @module
 */

/** `count` values in [-1, 1), the same for the same seed. */
export function uniform(count: number, seed: number): Float32Array<ArrayBuffer> {
  const values = new Float32Array(count);
  let state = seed >>> 0;
  for (let i = 0; i < count; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0; // Numerical Recipes LCG
    values[i] = state / 2 ** 31 - 1;
  }
  return values;
}

/** `rows` random unit vectors of length `dim`, the same for the same seed. */
export function unitRows(rows: number, dim: number, seed: number): Float32Array<ArrayBuffer> {
  const values = uniform(rows * dim, seed);
  for (let row = 0; row < rows; row++) {
    const slice = values.subarray(row * dim, (row + 1) * dim);
    const norm = Math.sqrt(slice.reduce((sum, x) => sum + x * x, 0));
    for (let d = 0; d < dim; d++) slice[d] = slice[d]! / norm;
  }
  return values;
}

/** ‖actual − expected‖₂ / ‖expected‖₂; NaN where a value is NaN, so that `<=` fails. */
export function relativeL2(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  if (actual.length !== expected.length || expected.length === 0) {
    throw new Error(`Expected ${expected.length} values (at least 1) but got ${actual.length}`);
  }
  let difference = 0;
  let norm = 0;
  for (let i = 0; i < expected.length; i++) {
    difference += (actual[i]! - expected[i]!) ** 2;
    norm += expected[i]! ** 2;
  }
  return Math.sqrt(difference) / Math.sqrt(norm);
}
