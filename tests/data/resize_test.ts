import assert from "node:assert/strict";
import { resizeBilinear } from "../../data/resize.ts";
import { assertClose } from "../testing.ts";

/** Pixels without symmetry: no two of the neighbours, rows, columns or channels are alike. */
function patternOf(height: number, width: number): Uint8Array {
  return Uint8Array.from({ length: height * width * 3 }, (_, i) => {
    const [x, y, c] = [Math.floor(i / 3) % width, Math.floor(i / 3 / width), i % 3];
    return (x * 37 + y * 91 + c * 53 + x * y * 11) % 256;
  });
}

// cv2.resize(pattern, (width, height), interpolation=cv2.INTER_LINEAR_EXACT) of
// opencv-python-headless 5.0.0, the pattern as above: smaller, larger, much smaller, halved.
const OPENCV = [
  {
    from: [5, 7],
    to: [3, 4],
    values:
      "45,98,151,117,159,138,113,156,209,174,120,109,204,161,54,51,104,157,155,208,37,98,55," +
      "108,107,160,149,71,114,92,132,175,78,86,139,139",
  },
  {
    from: [2, 3],
    to: [5, 7],
    values:
      "0,53,106,5,58,111,21,74,127,37,90,143,53,106,159,69,122,175,74,127,180,9,62,115,15,68," +
      "121,31,84,137,47,100,153,64,117,159,80,133,164,85,138,165,46,99,152,52,105,158,70,123,176," +
      "88,141,194,106,159,157,124,177,121,131,184,109,82,135,188,89,142,195,108,161,214,129,182," +
      "235,149,202,156,169,222,78,176,229,52,91,144,197,98,151,204,118,171,224,139,192,245,160," +
      "213,156,180,233,67,187,240,37",
  },
  {
    from: [30, 40],
    to: [3, 4],
    values:
      "95,148,137,128,53,106,97,150,139,130,119,172,156,145,134,73,126,179,118,107,96,99,88," +
      "141,153,142,131,146,71,124,139,128,117,132,185,174",
  },
  {
    from: [6, 8],
    to: [3, 4],
    values:
      "67,120,173,152,141,130,109,162,151,130,119,108,132,121,110,133,122,111,134,123,112,135," +
      "124,113,133,186,111,114,103,156,95,148,137,140,129,118",
  },
] as const;

for (const { from, to, values } of OPENCV) {
  Deno.test(`resizeBilinear() is within 1 grey level of OpenCV from (${from}) to (${to})`, () => {
    const [height, width] = from;
    const resized = resizeBilinear(patternOf(height, width), { height, width }, {
      height: to[0],
      width: to[1],
    });
    // OpenCV's weights have 11 or 16 bits, and each of two passes may round: 1 level.
    assertClose(resized, values.split(",").map(Number), { atol: 1, rtol: 0 });
  });
}

Deno.test("resizeBilinear() changes nothing when the extent stays", () => {
  const size = { width: 7, height: 5 };
  assert.deepEqual(resizeBilinear(patternOf(5, 7), size, size), patternOf(5, 7));
});

Deno.test("resizeBilinear() fills the result from a single pixel", () => {
  const one = Uint8Array.of(10, 20, 30);
  const out = resizeBilinear(one, { width: 1, height: 1 }, { width: 2, height: 2 });
  assert.deepEqual([...out], [10, 20, 30, 10, 20, 30, 10, 20, 30, 10, 20, 30]);
});

Deno.test("resizeBilinear() rounds to the nearest level", () => {
  const greys = (...values: number[]) => Uint8Array.from(values.flatMap((v) => [v, v, v]));
  const out = resizeBilinear(greys(0, 255), { width: 2, height: 1 }, { width: 4, height: 1 });
  assert.deepEqual(out, greys(0, 64, 191, 255)); // 0, 63.75, 191.25, 255
});
