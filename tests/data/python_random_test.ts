import assert from "node:assert/strict";
import { PythonRandom } from "../../data/python_random.ts";

// python3 -c "
// import random
// for s in (0, 42, 2**32 + 5, 2**53 - 1):
//     random.seed(s)
//     print([random.random() for _ in range(3)], [random.getrandbits(k) for k in (1, 7, 32)],
//           [random.randrange(n) for n in (1, 10, 2**32 - 1)])
//     x = list(range(10)); random.seed(s); random.shuffle(x); print(x)"  # CPython 3.11
const KNOWN = [
  {
    seed: 0,
    floats: [0.8444218515250481, 0.7579544029403025, 0.420571580830845],
    bits: [0, 123, 2195908194],
    below: [0, 6, 3943786419],
    shuffled: [7, 8, 1, 5, 3, 4, 2, 0, 9, 6],
  },
  {
    seed: 42,
    floats: [0.6394267984578837, 0.025010755222666936, 0.27502931836911926],
    bits: [0, 17, 3163119785],
    below: [0, 8, 373399426],
    shuffled: [7, 3, 2, 8, 5, 6, 9, 4, 0, 1],
  },
  {
    seed: 2 ** 32 + 5, // a key of two words
    floats: [0.15727238718789782, 0.2824866316461999, 0.6044540318498407],
    bits: [0, 45, 2696275445],
    below: [0, 7, 3136672473],
    shuffled: [5, 3, 6, 1, 9, 0, 8, 4, 7, 2],
  },
  {
    seed: 2 ** 53 - 1,
    floats: [0.09425040007102303, 0.22287455761867403, 0.19135148760372034],
    bits: [0, 14, 416156196],
    below: [0, 7, 1924795362],
    shuffled: [4, 2, 7, 0, 5, 9, 6, 3, 8, 1],
  },
];

for (const { seed, floats, bits, below, shuffled } of KNOWN) {
  Deno.test(`PythonRandom draws what Python draws when the seed is ${seed}`, () => {
    const random = new PythonRandom(seed);
    assert.deepEqual(floats.map(() => random.random()), floats);
    assert.deepEqual([1, 7, 32].map((k) => random.getRandomBits(k)), bits);
    assert.deepEqual([1, 10, 2 ** 32 - 1].map((n) => random.below(n)), below);

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

Deno.test("PythonRandom refuses what it cannot draw", () => {
  assert.throws(
    () => new PythonRandom(1.5),
    new RangeError("Cannot seed Python's random: seed is 1.5, must be a safe integer"),
  );
  const random = new PythonRandom(1);
  for (const n of [0, 2 ** 32, NaN]) assert.throws(() => random.below(n), RangeError);
  for (const bits of [0, 33, NaN]) assert.throws(() => random.getRandomBits(bits), RangeError);
});
