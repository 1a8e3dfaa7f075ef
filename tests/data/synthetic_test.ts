import assert from "node:assert/strict";
import { join } from "node:path";
import { decodePicture, openDecoder } from "../../data/decode.ts";
import { distanceMetres } from "../../data/geo.ts";
import { type Entry, parseEntries, picturePath } from "../../data/pairs.ts";
import {
  matchesOf,
  shotsOf,
  type SyntheticSize,
  type SyntheticSource,
  tilesOf,
  writeSource,
} from "../../data/synthetic.ts";
import type { Polygon } from "../../data/synthetic_polygon.ts";
import { assertClose } from "../testing.ts";

const SOURCE: SyntheticSource = {
  seed: 7,
  maps: { train: 3, test: 12 },
  landscape: { fieldArea: 2000, woods: 0.1, villages: 0.1, conifers: 0.5, lakes: 3 },
  origin: { lat: 48.2, lon: 11.1 },
  satellite: {
    season: "summer",
    azimuth: 2.6,
    elevation: 0.9,
    exposure: 1,
    warmth: 0,
    haze: 0.05,
  },
  drone: { season: "autumn", azimuth: 4, elevation: 0.6, exposure: 1, warmth: 0, haze: 0.05 },
  photo: { width: 48, height: 32, span: 100 },
  altitude: 100,
};
const SIZE: SyntheticSize = {
  rows: 2,
  columns: { train: 4, test: 2 },
  passes: { train: 2, test: 1 },
};

Deno.test("tilesOf() has each place of an area at two zooms, named as UAV-VisLoc does", () => {
  assert.deepEqual(tilesOf(SOURCE, SIZE, "test"), [
    { name: "12_4_000_000.png", left: 700, top: 100, side: 200 },
    { name: "12_5_000_000.png", left: 700, top: 100, side: 100 },
    { name: "12_5_001_000.png", left: 800, top: 100, side: 100 },
    { name: "12_5_000_001.png", left: 700, top: 200, side: 100 },
    { name: "12_5_001_001.png", left: 800, top: 200, side: 100 },
  ]);
  const train = tilesOf(SOURCE, SIZE, "train");
  assert.equal(new Set(train.map(({ name }) => name)).size, 2 + 8);
  for (const wanted of [100, 200]) {
    const area = train.reduce((sum, { side }) => sum + (side === wanted ? side ** 2 : 0), 0);
    assert.equal(area, 400 * 200); // tiles of a zoom, which do not overlap, fill the area
  }
  assert(train.every(({ left, side }) => left >= 100 && left + side <= 500));
});

Deno.test("shotsOf() takes each tile in turn, from near its middle and twice as high for twice the side", () => {
  const tiles = tilesOf(SOURCE, SIZE, "train");
  const shots = shotsOf(SOURCE, SIZE, "train", tiles);
  assert.equal(shots.length, 20);
  assert.equal(new Set(shots.map(({ name }) => name)).size, 20);
  assert.equal(shots[0]!.name, "03_0001.JPG");
  shots.forEach(({ camera }, i) => {
    const { left, top, side } = tiles[i % tiles.length]!;
    assert(Math.abs(camera.x - left - side / 2) <= 0.1 * side);
    assert(Math.abs(camera.y - top - side / 2) <= 0.1 * side);
    const nominal = 100 * side / 100;
    assert(camera.altitude >= 0.92 * nominal && camera.altitude < 1.08 * nominal);
    assert.equal(camera.spread, 1); // 100 m from 100 m
  });
  for (const part of ["heading", "tilt", "altitude"] as const) {
    assert.equal(new Set(shots.map(({ camera }) => camera[part])).size, 20, part);
  }
  for (const part of ["azimuth", "elevation", "exposure", "warmth", "haze"] as const) {
    assert.equal(new Set(shots.map(({ light }) => light[part])).size, 20, part);
  }
});

Deno.test("matchesOf() lists tiles above the limit, the best first", () => {
  const tiles = tilesOf(SOURCE, SIZE, "test");
  // 120 m x 100 m, 20 m over into the tile to the east: 100 x 100 shared of 120 x 100, and so on.
  const footprint: Polygon = [[700, 100], [820, 100], [820, 200], [700, 200]];
  const matches = matchesOf(footprint, tiles);
  assert.deepEqual(matches.map(({ tile }) => tile.name), ["12_5_000_000.png", "12_4_000_000.png"]);
  assertClose(matches.map(({ weight }) => weight), [10 / 12, 12 / 40], { atol: 0, rtol: 1e-12 });
});

/** Writes a source into a folder that is gone afterwards. */
async function withSource(
  source: SyntheticSource,
  fn: (root: string, counts: { tiles: number; photos: number }) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    const root = join(folder, "made", "north");
    await fn(root, await writeSource(root, source, SIZE));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function entriesOf(root: string, split: string): Promise<Entry[]> {
  const path = join(root, `cross-area-drone2sate-${split}.json`);
  return parseEntries(await Deno.readTextFile(path), { path, dataRoot: root });
}

Deno.test("writeSource() writes pairs that parse, of pictures that decode", () =>
  withSource(SOURCE, async (root, counts) => {
    assert.deepEqual(counts, { tiles: 15, photos: 25 });
    const [train, test] = [await entriesOf(root, "train"), await entriesOf(root, "test")];
    assert.deepEqual([train.length, test.length], [20, 5]);
    const filesOf = (entries: Entry[]) =>
      new Set(
        entries.flatMap(({ query, references }) =>
          [query, ...references.map(({ picture }) => picture)].map(picturePath)
        ),
      );
    assert(filesOf(train).isDisjointFrom(filesOf(test)));

    const decoder = await openDecoder();
    for (const name of filesOf([...train, ...test])) {
      const bytes = await Deno.readFile(name);
      const { width, height } = await decoder.header(bytes);
      const isPhoto = name.endsWith(".JPG");
      assert.deepEqual([width, height], isPhoto ? [48, 32] : [128, 128]);
      const { pixels } = await decodePicture(bytes, { width: 16, height: 16, name });
      assert(Math.max(...pixels) - Math.min(...pixels) > 20, `${name} shows nothing`);
    }
    const map = await decoder.header(await Deno.readFile(join(root, "map.jpg")));
    assert.deepEqual([map.width, map.height], [500, 200]); // 1000 m x 400 m
  }));

Deno.test("writeSource() lists positives above 0.39 and semi-positives above 0.14, near the photo", () =>
  withSource(SOURCE, async (root) => {
    for (const split of ["train", "test"] as const) {
      const tiles = new Map(tilesOf(SOURCE, SIZE, split).map((tile) => [tile.name, tile]));
      const shots = shotsOf(SOURCE, SIZE, split, [...tiles.values()]);
      for (const { index, query, location, references } of await entriesOf(root, split)) {
        const { name, camera } = shots[index]!;
        assert.equal(query.name, name);
        assert(references.length > 0 && references[0]!.positive, `${name} has no positive`);
        const weights = references.map(({ weight }) => weight);
        assert.deepEqual(weights, weights.toSorted((a, b) => b - a));
        for (const { picture, weight, positive, location: place } of references) {
          assert.equal(positive, weight > 0.39);
          assert(weight > 0.14 && weight <= 1);
          const { left, top, side } = tiles.get(picture.name)!;
          const metres = Math.hypot(camera.x - left - side / 2, camera.y - top - side / 2);
          // A degree of latitude is 110.6 to 111.7 km on the ellipsoid, of which 111.32 is used.
          assertClose([distanceMetres(location!, place!)], [metres], { atol: 0.01, rtol: 0.01 });
        }
      }
    }
  }));

/** Every file below a folder, as text to compare. */
async function contentsOf(root: string): Promise<Map<string, string>> {
  const contents = new Map<string, string>();
  for (const folder of [".", "drone", "satellite"]) {
    for await (const { name, isFile } of Deno.readDir(join(root, folder))) {
      if (!isFile) continue;
      const bytes = await Deno.readFile(join(root, folder, name));
      contents.set(join(folder, name), bytes.toBase64());
    }
  }
  return contents;
}

Deno.test("writeSource() writes the same bytes for the same seed, others for another", () =>
  withSource(
    SOURCE,
    (root) =>
      withSource(SOURCE, (again) =>
        withSource({ ...SOURCE, seed: 8 }, async (other) => {
          const [first, second, third] = await Promise.all([root, again, other].map(contentsOf));
          assert.equal(first!.size, 15 + 25 + 3);
          assert.deepEqual(second, first);
          assert.deepEqual([...third!.keys()].sort(), [...first!.keys()].sort());
          for (const [name, content] of third!) assert.notEqual(content, first!.get(name), name);
        })),
  ));
