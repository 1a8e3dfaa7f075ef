import assert from "node:assert/strict";
import {
  boxBeforeTurn,
  toByte,
  turnOfOrientation,
  turnOfQuarters,
  turnPixels,
} from "../../data/pixels.ts";

const SIZE = { width: 3, height: 2 };

/** Letters stand for pixels of three different values, so that a channel swap shows too. */
function paint(letters: string): Uint8Array {
  return Uint8Array.from([...letters].flatMap((letter) => {
    const code = letter.charCodeAt(0);
    return [code, code + 50, code + 100];
  }));
}

// The picture stored as rows "abc", "def", as EXIF 2.32 section 4.6.4.A tells to show it.
const UPRIGHT = ["abcdef", "cbafed", "fedcba", "defabc", "adbecf", "daebfc", "fcebda", "cfbead"];

for (const [i, letters] of UPRIGHT.entries()) {
  Deno.test(`turnPixels() shows EXIF orientation ${i + 1} upright`, () => {
    const turned = turnPixels(paint("abcdef"), SIZE, turnOfOrientation(i + 1));
    assert.deepEqual(turned, paint(letters));
  });

  Deno.test(`boxBeforeTurn() finds the stored pixels of a box at orientation ${i + 1}`, () => {
    const turn = turnOfOrientation(i + 1);
    const width = turn.swapAxes ? 2 : 3;
    const height = 6 / width;
    for (let left = 0; left < width; left++) {
      for (let top = 0; top < height; top++) {
        const upright = letters[top * width + left]!;
        const box = boxBeforeTurn({ left, top, width: 1, height: 1 }, SIZE, turn);
        assert.equal("abcdef"[box.top * 3 + box.left], upright);
      }
    }
    const whole = boxBeforeTurn({ left: 0, top: 0, width, height }, SIZE, turn);
    assert.deepEqual(whole, { left: 0, top: 0, ...SIZE });
  });
}

Deno.test("turnOfOrientation() turns nothing at values that EXIF does not define", () => {
  for (const orientation of [0, 9, 65535]) {
    assert.deepEqual(turnOfOrientation(orientation), turnOfOrientation(1));
  }
});

Deno.test("turnOfQuarters() turns counter-clockwise as numpy.rot90", () => {
  // numpy.rot90([["a", "b", "c"], ["d", "e", "f"]], k)
  const expected = ["abcdef", "cfbead", "fedcba", "daebfc"];
  for (const [quarters, letters] of expected.entries()) {
    assert.deepEqual(turnPixels(paint("abcdef"), SIZE, turnOfQuarters(quarters)), paint(letters));
  }
});

Deno.test("toByte() rounds to the nearest and stays within 0 to 255", () => {
  assert.deepEqual([-300, -0.4, 0.4, 0.6, 254.4, 254.6, 300].map(toByte), [
    0,
    0,
    0,
    1,
    254,
    255,
    255,
  ]);
});
