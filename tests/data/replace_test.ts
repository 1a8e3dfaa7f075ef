import assert from "node:assert/strict";
import { type Pair, picturePath } from "../../data/pairs.ts";
import { Replacer } from "../../data/replace.ts";

/** Pairs of photos and tiles with these numbers. */
function pairsOf(...numbers: [photo: number, tile: number][]): Pair[] {
  return numbers.map(([photo, tile], entry) => ({
    query: { root: "", folder: "photos", name: `${photo}.jpg` },
    reference: { root: "", folder: "tiles", name: `${tile}.jpg` },
    ...{ weight: 1, source: "visloc", entry, altitudeMeters: null, duplicateId: 0 },
  }));
}

const SIZE = { width: 8, height: 8 };
const MADE = { pixels: new Uint8Array(), crop: { left: 0, top: 0, ...SIZE }, picture: SIZE };

Deno.test("Replacer stops when no pair is whole, though 1 % of the pictures may be damaged", () => {
  // 900 photos of 8 tiles: all tiles together are less than 1 % of the pictures.
  const pairs = pairsOf(...Array.from({ length: 900 }, (_, i) => [i, i % 8] as [number, number]));
  const warnings: string[] = [];
  const replacer = new Replacer(pairs, (line) => warnings.push(line));
  const reasonOf = (index: number) => `Cannot read ${picturePath(pairs[index]!.reference)}`;
  for (let index = 0; index < 7; index++) {
    assert.equal(replacer.accept(index, [MADE, { error: reasonOf(index) }]), false);
  }
  assert.throws(
    () => replacer.accept(7, [MADE, { error: reasonOf(7) }]),
    new Error(
      "Cannot go on: each of the 900 pairs has a picture that cannot be decoded; the last one: " +
        reasonOf(7),
    ),
  );
  assert.equal(warnings.length, 8);
});

Deno.test("Replacer draws the same pairs whatever it has found damaged", () => {
  const pairs = pairsOf(...Array.from({ length: 40 }, (_, i) => [i, i] as [number, number]));
  const [fresh, later] = [new Replacer(pairs, () => {}), new Replacer(pairs, () => {})];
  const drawn = (replacer: Replacer) => {
    const candidates = replacer.candidates([3], [7]);
    return Array.from({ length: 200 }, () => candidates.next().value);
  };
  const before = drawn(fresh);
  assert(before.includes(5));
  later.accept(5, [{ error: "cut off" }, MADE]);
  assert.deepEqual(drawn(later), before);
});

Deno.test("Replacer says that too many pictures are damaged before it says that no pair is whole", () => {
  const replacer = new Replacer(pairsOf([0, 0], [1, 1]), () => {});
  const error = { error: "Cannot read it" };
  assert.equal(replacer.accept(0, [error, MADE]), false);
  assert.throws(() => replacer.accept(1, [error, MADE]), /^Error: Cannot go on: 2 of 4 pictures/);
});

Deno.test("Replacer counts a picture of many pairs once", () => {
  // 150 photos of one tile: 151 pictures, of which 1 % is one, and 300 places in pairs.
  const pairs = pairsOf(...Array.from({ length: 150 }, (_, i) => [i, 0] as [number, number]));
  const replacer = new Replacer(pairs, () => {});
  const error = { error: "Cannot read it" };
  assert.equal(replacer.accept(0, [error, MADE]), false);
  assert.throws(() => replacer.accept(1, [error, MADE]), /^Error: Cannot go on: 2 of 151 pictures/);
});
