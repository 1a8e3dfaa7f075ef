import assert from "node:assert/strict";
import { PythonRandom } from "../../data/python_random.ts";

// python3 -c "
// import random
// for s in (0, 42, 2**32 + 5, 2**53 - 1):
//     x = list(range(10)); random.seed(s); random.shuffle(x); print(s, x)"  # CPython 3.11
const KNOWN: [seed: number, shuffled: number[]][] = [
  [0, [7, 8, 1, 5, 3, 4, 2, 0, 9, 6]],
  [42, [7, 3, 2, 8, 5, 6, 9, 4, 0, 1]],
  [2 ** 32 + 5, [5, 3, 6, 1, 9, 0, 8, 4, 7, 2]], // a key of two words
  [2 ** 53 - 1, [4, 2, 7, 0, 5, 9, 6, 3, 8, 1]],
];

for (const [seed, shuffled] of KNOWN) {
  Deno.test(`PythonRandom shuffles as Python does when the seed is ${seed}`, () => {
    const items = [...Array(10).keys()];
    new PythonRandom(seed).shuffle(items);
    assert.deepEqual(items, shuffled);
  });
}

Deno.test("PythonRandom.shuffle() goes on as Python when the 624 words of state are used up", () => {
  const items = [...Array(1000).keys()];
  new PythonRandom(-42).shuffle(items); // the sign is ignored, in Python too
  // random.seed(42); x = list(range(1000)); random.shuffle(x); print(x[:8], x[-3:])
  assert.deepEqual(items.slice(0, 8), [776, 507, 895, 922, 33, 483, 85, 750]);
  assert.deepEqual(items.slice(-3), [25, 114, 654]);
});

Deno.test("PythonRandom refuses a seed that is no integer", () => {
  assert.throws(
    () => new PythonRandom(1.5),
    new RangeError("Cannot seed Python's random: seed is 1.5, must be a safe integer"),
  );
});
