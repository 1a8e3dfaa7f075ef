import assert from "node:assert/strict";
import { between, counterRandom, integer } from "../../data/random.ts";

// The same definition in Python integers (masked to 32 bits) printed these, times 2^32.
const KNOWN: [number[], number[]][] = [
  [[], [2132674007, 1135464026, 3574041437]],
  [[0], [1350330263, 2274017605, 2883179837]],
  [[42], [935796872, 2206083772, 1470168692]],
  [[42, 0], [2727155811, 3534227149, 3317869951]],
  [[1, 2, 3, 4], [2353389101, 3012131747, 2204131228]],
  [[2 ** 53 - 1], [34509247, 1388967062, 4053599116]],
];

Deno.test("counterRandom() gives the known numbers of each key list", () => {
  for (const [keys, expected] of KNOWN) {
    const random = counterRandom(...keys);
    assert.deepEqual(expected.map(() => random() * 2 ** 32), expected, `keys ${keys}`);
  }
});

/** Sum of (count - mean)^2 / mean over equally likely bins. */
function chiSquare(values: Iterable<number>, bins: number): number {
  const counts = new Array<number>(bins).fill(0);
  let total = 0;
  for (const value of values) {
    assert(value >= 0 && value < 1);
    counts[Math.floor(value * bins)]!++;
    total++;
  }
  const mean = total / bins;
  return counts.reduce((sum, count) => sum + (count - mean) ** 2 / mean, 0);
}

// With 255 degrees of freedom the statistic has mean 255 and deviation sqrt(510) = 22.6: five of
// them above is 368, five below 142 (too even is no better). The draws are fixed, so no flakes.
const BINS = 256;
function assertUniform(values: Iterable<number>): void {
  const statistic = chiSquare(values, BINS);
  assert(statistic > 142 && statistic < 368, `chi-square is ${statistic}, expected near 255`);
}

Deno.test("counterRandom() is uniform along one sequence", () => {
  const random = counterRandom(7);
  assertUniform(Array.from({ length: 1 << 16 }, random));
});

Deno.test("counterRandom() is uniform in the first number of neighbouring keys", () => {
  assertUniform(Array.from({ length: 1 << 16 }, (_, key) => counterRandom(7, key)()));
  assertUniform(Array.from({ length: 1 << 16 }, (_, key) => counterRandom(key, 7)()));
});

Deno.test("counterRandom() is uniform in pairs of numbers in a row", () => {
  const random = counterRandom(8);
  const pairs = Array.from({ length: 1 << 16 }, () => {
    const first = Math.floor(random() * 16);
    return (first * 16 + Math.floor(random() * 16)) / BINS;
  });
  assertUniform(pairs);
});

Deno.test("counterRandom() flips half the bits when one bit of a key changes", () => {
  let flipped = 0;
  const KEYS = 64;
  const BITS = 53;
  for (let key = 0; key < KEYS; key++) {
    for (let bit = 0; bit < BITS; bit++) {
      const before = counterRandom(3, key, 5)() * 2 ** 32;
      const after = counterRandom(3, key + 2 ** bit * (Math.floor(key / 2 ** bit) % 2 ? -1 : 1), 5);
      for (let x = before ^ (after() * 2 ** 32); x !== 0; x &= x - 1) flipped++;
    }
  }
  // 32 bits x 64 x 53 coins: deviation of the share is 0.5 / sqrt(108544) = 0.0015, five of them.
  assert(Math.abs(flipped / (KEYS * BITS * 32) - 0.5) < 0.0076);
});

Deno.test("counterRandom() refuses keys that are no integers from 0 to 2^53 - 1", () => {
  for (const key of [-1, 0.5, NaN, Infinity, 2 ** 53]) {
    assert.throws(() => counterRandom(1, key), {
      name: "RangeError",
      message: `Cannot draw random numbers: key is ${key}, must be an integer from 0 to 2^53 - 1`,
    });
  }
});

Deno.test("between() maps [0, 1) to its range", () => {
  assert.deepEqual([0, 0.5].map((x) => between([-2, 4], () => x)), [-2, 1]);
});

Deno.test("integer() reaches both ends and gives each the same share", () => {
  const ends = [0, 0.333, 0.334, 1 - 2 ** -32].map((x) => integer(-1, 1, () => x));
  assert.deepEqual(ends, [-1, -1, 0, 1]);
});
