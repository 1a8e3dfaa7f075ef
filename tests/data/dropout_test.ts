import assert from "node:assert/strict";
import { blacken, coarseHoles, gridHoles } from "../../data/dropout.ts";
import { counterRandom } from "../../data/random.ts";

Deno.test("gridHoles() blackens 40 % of each side of ten cells", () => {
  const holes = gridHoles(384); // cells of 38 px, holes of 15, and a strip of 4 px at the end
  assert.equal(holes.length, 11 * 11);
  assert.deepEqual(holes[0], { left: 0, top: 0, width: 15, height: 15 });
  assert.deepEqual(holes[1], { left: 38, top: 0, width: 15, height: 15 });
  assert.deepEqual(holes[11], { left: 0, top: 38, width: 15, height: 15 });
  assert.deepEqual(holes.at(-1), { left: 380, top: 380, width: 4, height: 4 });
});

Deno.test("coarseHoles() makes 10 to 25 rectangles of 0.1 to 0.2 of the side, all inside", () => {
  const [counts, sides, edges] = [new Set<number>(), new Set<number>(), new Set<number>()];
  for (let seed = 0; seed < 2000; seed++) {
    const holes = coarseHoles(96, counterRandom(seed));
    counts.add(holes.length);
    for (const { left, top, width, height } of holes) {
      sides.add(width).add(height);
      edges.add(left).add(top).add(left + width).add(top + height);
    }
  }
  const range = (set: Set<number>) => [Math.min(...set), Math.max(...set)];
  assert.deepEqual(range(counts), [10, 25]);
  assert.deepEqual(range(sides), [9, 19]); // int(9.6), int(19.2)
  assert.deepEqual(range(edges), [0, 96]);
});

Deno.test("blacken() blackens the pixels of a hole and no other", () => {
  const pixels = new Uint8Array(4 * 4 * 3).fill(7);
  blacken(pixels, 4, [{ left: 1, top: 2, width: 3, height: 1 }, {
    left: 0,
    top: 0,
    width: 1,
    height: 2,
  }]);
  const rows = ["_777", "_777", "7___", "7777"];
  assert.deepEqual(
    [...pixels],
    rows.flatMap((row) => [...row].flatMap((x) => x === "_" ? [0, 0, 0] : [7, 7, 7])),
  );
});
