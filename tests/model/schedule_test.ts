import assert from "node:assert/strict";
import { type Schedule, scheduleFactor } from "../../model/schedule.ts";
import { assertClose } from "../testing.ts";

const factors = (schedule: Schedule, warmup: number, total: number, steps: number) =>
  Array.from({ length: steps }, (_, step) => scheduleFactor(step, { schedule, warmup, total }));

// Each factor is a handful of f64 operations.
const EXACT = { atol: 1e-15, rtol: 1e-15 };

Deno.test("scheduleFactor() is that of transformers: warm-up from 0, then half a cosine", () => {
  // The learning rates that the PyTorch program logged, at a highest rate of 1e-3.
  assertClose(factors("cosine", 1, 4, 3).map((x) => 1e-3 * x), [0, 1e-3, 7.5e-4], EXACT);
  const half = Math.SQRT1_2 / 2;
  assertClose(
    factors("cosine", 4, 12, 13),
    [0, 1 / 4, 1 / 2, 3 / 4, 1, 0.5 + 0.5 * Math.cos(Math.PI / 8), 0.5 + half]
      .concat([3, 4, 5, 6, 7, 8].map((n) => 0.5 + 0.5 * Math.cos(Math.PI * n / 8))),
    EXACT,
  );
  assert.equal(factors("cosine", 4, 12, 13)[12], 0);
});

Deno.test("scheduleFactor() takes a warm-up of a fraction of steps", () => {
  // s < 2.5: s / 2.5, else (s - 2.5) / (10 - 2.5) of the cosine.
  assertClose(
    factors("cosine", 2.5, 10, 4),
    [0, 0.4, 0.8, 0.5 + 0.5 * Math.cos(Math.PI * 0.5 / 7.5)],
    EXACT,
  );
  // Below one step: the divisor is 1, and step 1 is past the warm-up.
  assertClose(
    factors("cosine", 0.5, 2.5, 3),
    [0, Math.SQRT1_2 / 2 + 0.5, 0.5 - Math.SQRT1_2 / 2],
    EXACT,
  );
});

Deno.test("scheduleFactor() starts at the full rate without a warm-up", () => {
  assert.deepEqual(factors("cosine", 0, 4, 1), [1]);
  assert.deepEqual(factors("constant", 0, 4, 6), [1, 1, 1, 1, 1, 1]);
});

Deno.test("scheduleFactor() stays where it is when constant", () => {
  assertClose(factors("constant", 2, 4, 6), [0, 0.5, 1, 1, 1, 1], EXACT);
});

Deno.test("scheduleFactor() of a run that is all warm-up, or of one step, is finite", () => {
  assertClose(factors("cosine", 4, 4, 5), [0, 0.25, 0.5, 0.75, 1], EXACT);
  assertClose(factors("cosine", 8, 4, 4), [0, 0.125, 0.25, 0.375], EXACT);
  assert.deepEqual(factors("cosine", 0, 1, 2), [1, 0]);
});
