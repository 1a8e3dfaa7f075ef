import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { type Cover, COVERS, type Ground } from "../../data/synthetic_ground.ts";
import { createWorld, type Landscape } from "../../data/synthetic_world.ts";

const LANDSCAPE: Landscape = {
  fieldArea: 2000,
  woods: 0.15,
  villages: 0.15,
  conifers: 0.5,
  lakes: 5,
};
const EXTENT = { width: 900, height: 700 };
const FLAT: readonly Cover[] = COVERS.slice(0, COVERS.indexOf("broadleaf"));

const make = (seed: number, landscape: Partial<Landscape> = {}) =>
  createWorld({ ...EXTENT, seed, landscape: { ...LANDSCAPE, ...landscape } });

function hashOf({ cover, relief, tone }: Ground): string {
  return createHash("sha256").update(cover).update(relief).update(tone).digest("hex");
}

/** Shares of the ground, by cover. */
function sharesOf({ cover }: Ground): Record<Cover, number> {
  const shares = new Array<number>(COVERS.length).fill(0);
  for (const code of cover) shares[code]! += 1 / cover.length;
  return Object.fromEntries(COVERS.map((name, code) => [name, shares[code]])) as Record<
    Cover,
    number
  >;
}

Deno.test("createWorld() is the same for the same seed, and another for another", () => {
  const hashes = [1, 1, 2].map((seed) => hashOf(make(seed)));
  assert.equal(hashes[0], hashes[1]);
  assert.notEqual(hashes[0], hashes[2]);
});

Deno.test("createWorld() has fields, woods, buildings, roads and water, and most of all fields", () => {
  const world = make(3);
  assert.deepEqual([world.columns, world.rows], [1800, 1400]);
  const shares = sharesOf(world);
  for (const name of COVERS) assert(shares[name] > 0.0005, `${name}: ${shares[name]}`);
  const sum = (names: readonly Cover[]) => names.reduce((total, name) => total + shares[name], 0);
  const fields = sum(FLAT.slice(FLAT.indexOf("meadow"), FLAT.indexOf("garden")));
  assert(fields > 0.4 && fields < 0.9, `fields ${fields}`);
  assert(shares.asphalt > 0.01 && shares.asphalt < 0.1, `roads ${shares.asphalt}`);
  assert(shares.water > 0.01 && shares.water < 0.2, `water ${shares.water}`);
});

Deno.test("createWorld() has more of what the landscape asks for", () => {
  const [trees, roofs]: Cover[][] = [
    ["broadleaf", "conifer"],
    ["red roof", "grey roof", "dark roof"],
  ];
  const share = (names: readonly Cover[], landscape: Partial<Landscape>) => {
    const shares = sharesOf(make(4, landscape));
    return names.reduce((total, name) => total + shares[name], 0);
  };
  assert(share(trees!, { woods: 0.6 }) > 2 * share(trees!, { woods: 0 }));
  assert(share(roofs!, { villages: 0.5 }) > 2 * share(roofs!, { villages: 0.1 }));
  assert.equal(share(roofs!, { villages: 0 }), 0);
  assert(share(["water"], { lakes: 30 }) > 2 * share(["water"], { lakes: 0 }));
  assert(share(["conifer"], { conifers: 1 }) > 4 * share(["conifer"], { conifers: 0 }));
});

Deno.test("createWorld() has only trees and houses above the ground, up to 16 m", () => {
  const { cover, relief } = make(5);
  relief.forEach((height, cell) => {
    const isFlat = FLAT.includes(COVERS[cover[cell]!]!);
    const isRight = isFlat ? height === 0 : height > 0 && height <= 160; // what a picture looks for
    if (!isRight) assert.fail(`${COVERS[cover[cell]!]} is ${height} dm high`);
  });
});

Deno.test("createWorld() has a road from end to end that nothing closes", () => {
  const { columns, rows, cover } = make(6, { woods: 0, villages: 0, lakes: 0 });
  const asphalt = COVERS.indexOf("asphalt");
  // The first border parts the land from one long side to the other, so that it is in every row,
  // 18 cells wide; a hedge that ends beside it may hide a few.
  for (let row = 0; row < rows; row++) {
    let [run, longest] = [0, 0];
    for (const code of cover.subarray(row * columns, (row + 1) * columns)) {
      run = code === asphalt ? run + 1 : 0;
      longest = Math.max(longest, run);
    }
    assert(longest >= 9, `row ${row}: ${longest} cells`);
  }
});
