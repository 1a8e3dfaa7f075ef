import assert from "node:assert/strict";
import { MAX_POINTS, movingMean, type Point, thinOut } from "../../../eval/report/series.ts";
import { assertClose, uniform } from "../../testing.ts";

const pointsOf = (values: ArrayLike<number | null>): Point[] =>
  Array.from(values, (y, x) => ({ x, y }));

Deno.test("thinOut() leaves a short curve as it is", () => {
  const points = pointsOf(uniform(MAX_POINTS, 1));
  assert.equal(thinOut(points), points);
});

for (const count of [MAX_POINTS + 1, 1500, 20_000]) {
  Deno.test(`thinOut() keeps order and every peak of ${count} points`, () => {
    const points = pointsOf(uniform(count, 2));
    points[count - 7]!.y = 50;
    points[3]!.y = -50;
    const thin = thinOut(points);
    assert.ok(thin.length <= MAX_POINTS && thin.length > MAX_POINTS / 2);
    assert.ok(thin.every((point) => points[point.x] === point));
    assert.ok(thin.every(({ x }, i) => i === 0 || x > thin[i - 1]!.x));
    assert.ok(thin.includes(points[count - 7]!) && thin.includes(points[3]!));
  });
}

Deno.test("thinOut() takes one point of a stretch that is flat or a gap", () => {
  const points = pointsOf(new Array(4000).fill(1).fill(null, 2000, 2008));
  const thin = thinOut(points);
  assert.equal(thin.length, 500); // 8 points a stretch
  assert.deepEqual(thin.filter(({ y }) => y === null), [{ x: 2000, y: null }]);
});

Deno.test("movingMean() forgets by 2 / (window + 1) and skips gaps", () => {
  const mean = movingMean(pointsOf([null, 4, 8, null, 0]), 3);
  assert.deepEqual(mean.map(({ x }) => x), [0, 1, 2, 3, 4]);
  assert.deepEqual(mean.map(({ y }) => y), [null, 4, 6, 6, 3]); // half of what is new
  const flat = movingMean(pointsOf(new Array(50).fill(0.1)), 7);
  assertClose(flat.map(({ y }) => y!), new Array(50).fill(0.1), { atol: 0, rtol: 1e-15 });
});
