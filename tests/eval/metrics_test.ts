import assert from "node:assert/strict";
import {
  averagePrecision,
  averagePrecisionTrapezoid,
  disAt,
  isWithin,
  mean,
  onePercentFloor,
  onePercentRounded,
  recallAt,
  sdmAt,
} from "../../eval/metrics.ts";
import { assertClose, uniform } from "../testing.ts";

/** Sums of a few terms: each rounds by at most 2^-53 of a value near 1. */
const EXACT = { atol: 1e-14, rtol: 0 };

Deno.test("recallAt() counts queries whose best positive ranks within k", () => {
  const ranks = [0, 4, 5, 100];
  assert.deepEqual([0, 1, 5, 6, 101].map((k) => recallAt(ranks, k)), [0, 0.25, 0.5, 0.75, 1]);
  assert.equal(recallAt([], 1), null);
});

Deno.test("onePercentRounded() is the index that Python's round gives, plus one", () => {
  // python3 -c 'print([round(0.01 * n) for n in (1, 49, 50, 51, 150, 250, 951, 14640, 51355)])'
  const sizes = [1, 49, 50, 51, 150, 250, 951, 14640, 51355];
  const indices = [0, 0, 0, 1, 2, 2, 10, 146, 514];
  assert.deepEqual(sizes.map((n) => onePercentRounded(n) - 1), indices);
});

Deno.test("onePercentFloor() is 0 below 100 references", () => {
  assert.deepEqual([99, 100, 199, 8884].map(onePercentFloor), [0, 1, 1, 88]);
});

Deno.test("averagePrecision() is the mean of precisions at the positives", () => {
  // Ranks 0, 2, 5: precisions 1/1, 2/3, 3/6.
  assertClose([averagePrecision([0, 2, 5])], [(1 + 2 / 3 + 1 / 2) / 3], EXACT);
  assert.equal(averagePrecision([3]), 1 / 4);
  assert.equal(averagePrecision([0, 1]), 1);
});

Deno.test("averagePrecisionTrapezoid() also takes the precision just before a positive", () => {
  // Ranks 0, 2, 5: (1 + 1)/2, (1/2 + 2/3)/2, (2/5 + 3/6)/2.
  const expected = (1 + (1 / 2 + 2 / 3) / 2 + (2 / 5 + 3 / 6) / 2) / 3;
  assertClose([averagePrecisionTrapezoid([0, 2, 5])], [expected], EXACT);
  assert.equal(averagePrecisionTrapezoid([3]), 1 / 8); // half of the other one
  assert.equal(averagePrecisionTrapezoid([0]), 1);
  assert.equal(averagePrecisionTrapezoid([0, 1]), 1);
});

Deno.test("average precisions match a walk down the list at random positives", () => {
  const isPositive = Array.from(uniform(300, 5), (x) => x > 0.6);
  let found = 0;
  let precisions = 0;
  let trapezoids = 0;
  isPositive.forEach((positive, rank) => {
    if (!positive) return;
    const before = rank === 0 ? 1 : found / rank;
    found++;
    precisions += found / (rank + 1);
    trapezoids += (before + found / (rank + 1)) / 2;
  });
  const ranks = isPositive.flatMap((positive, rank) => positive ? [rank] : []);
  assert.ok(found > 20);
  // Some 60 terms below 1, divided by their number: below 60 * 2^-53.
  assertClose([averagePrecision(ranks)], [precisions / found], EXACT);
  assertClose([averagePrecisionTrapezoid(ranks)], [trapezoids / found], EXACT);
});

Deno.test("sdmAt() weights the first references k, k - 1, ... and decays per kilometre", () => {
  const [a, b, c] = [Math.exp(-0.1), Math.exp(-1), 0];
  const distances = [100, 1000, Infinity];
  assertClose([sdmAt(distances, 1)], [a], EXACT);
  assertClose([sdmAt(distances, 3)], [(3 * a + 2 * b + c) / 6], EXACT);
  // Three references for k = 5: weights 5, 4, 3.
  assertClose([sdmAt(distances, 5)], [(5 * a + 4 * b + 3 * c) / 12], EXACT);
});

Deno.test("disAt() is the mean distance, and infinite if one is not known", () => {
  assert.equal(disAt([10, 20, 60], 1), 10);
  assert.equal(disAt([10, 20, 60], 3), 30);
  assert.equal(disAt([10, 20, 60], 5), 30);
  assert.equal(disAt([10, 20, Infinity], 3), Infinity);
});

Deno.test("isWithin() looks at the first k only and counts the border", () => {
  const distances = [90, 25, 3];
  assert.equal(isWithin(distances, { k: 1, radius: 25 }), false);
  assert.equal(isWithin(distances, { k: 2, radius: 25 }), true);
  assert.equal(isWithin(distances, { k: 2, radius: 24.9 }), false);
});

Deno.test("mean() of nothing is null", () => {
  assert.equal(mean([]), null);
  assert.equal(mean([1, 2, 6]), 3);
});
