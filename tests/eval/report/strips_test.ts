import assert from "node:assert/strict";
import type { Evaluation } from "../../../eval/evaluate.ts";
import { chooseQueries } from "../../../eval/report/strips.ts";

/** Rankings with the given first ranks (null: no positive) and best scores. */
function evaluationOf(queries: (readonly [rank: number | null, score: number])[]): Evaluation {
  return {
    rankings: queries.map(([rank, score]) => ({
      positiveRanks: rank === null ? [] : [rank, rank + 5],
      hitRank: rank,
      top: [0],
      topScores: [score],
    })),
    distances: queries.map(() => null),
    metrics: {},
  };
}

Deno.test("chooseQueries() sorts by rank, then by score, and draws the rest by the seed", () => {
  const evaluation = evaluationOf([
    ...[[7, 0.5], [0, 0.1], [0, 0.9], [3, 0.3], [null, 1], [0, 0.5], [90, 0.2], [90, 0.8]] as const,
    ...Array.from({ length: 30 }, (_, i) => [1, i / 100] as const), // 8 to 37
  ]);
  const { best, worst, random } = chooseQueries(evaluation, 1);
  assert.deepEqual(best, [2, 5, 1, 37]);
  assert.deepEqual(worst, [6, 7, 0, 3]);
  assert.equal(new Set(random).size, 4);
  assert.ok(random.every((q) => q >= 8 && q < 37));
  assert.deepEqual(chooseQueries(evaluation, 1).random, random);
  assert.notDeepEqual(chooseQueries(evaluation, 2).random, random);
});

Deno.test("chooseQueries() shows each of a few queries once", () => {
  const evaluation = evaluationOf([[1, 0], [0, 0], [null, 0], [5, 0], [2, 0], [3, 0]]);
  assert.deepEqual(chooseQueries(evaluation, 0), { best: [1, 0, 4, 5], worst: [3], random: [] });
});
