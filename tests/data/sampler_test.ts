import assert from "node:assert/strict";
import { join } from "node:path";
import {
  type Entry,
  type Pair,
  pairsOf,
  parseEntries,
  pictureKey,
  readPairsText,
} from "../../data/pairs.ts";
import { counterRandom } from "../../data/random.ts";
import { createSampler, type Sampler, type Sampling } from "../../data/sampler.ts";
import { sharedPath } from "../testing.ts";

/** Entries from the names of each query's references; `copies` virtual copies of each. */
function toEntries(references: readonly (readonly string[])[], copies = 1): Entry[] {
  const picture = (name: string) => ({ root: "/d", folder: "", name });
  return references.flatMap((names, query) =>
    Array.from({ length: copies }, (_, copy) => ({
      index: query * copies + copy,
      source: "s",
      query: picture(`q${query}`),
      location: null,
      references: names.map((name, i) => ({
        picture: picture(name),
        weight: 1,
        location: null,
        positive: i === 0,
      })),
      altitudeMeters: null,
      duplicateId: copy,
    }))
  );
}

interface Shape {
  queries: number;
  references: number;
  /** Most references of a query. */
  degree: number;
  /** References lie near their query, as on a map, or anywhere. */
  isMap: boolean;
  copies: number;
  /** Every fifth reference is itself a query. */
  twoRoles: boolean;
}

function randomEntries(shape: Shape, seed: number): Entry[] {
  const random = counterRandom(seed);
  const { queries, references, degree, isMap, copies, twoRoles } = shape;
  const lists = Array.from({ length: queries }, (_, query) => {
    const names = new Set<string>();
    for (let left = 1 + Math.floor(random() * degree); left > 0; left--) {
      const centre = Math.floor(query * references / queries);
      const reach = isMap ? 2 * degree : references;
      const at = (centre + Math.floor(random() * reach)) % references;
      names.add(twoRoles && at % 5 === 0 && at < queries ? `q${at}` : `r${at}`);
    }
    return [...names];
  });
  return toEntries(lists, copies);
}

/** Holds a batch to the definition, without help of the code under test. */
function assertExclusive(batch: readonly Pair[], entries: readonly Entry[]): void {
  const hits = new Map<string, Set<string>>();
  for (const { query, references } of entries) {
    const keys = hits.get(pictureKey(query)) ?? new Set();
    for (const { picture } of references) keys.add(pictureKey(picture));
    hits.set(pictureKey(query), keys);
  }
  for (const a of batch) {
    for (const b of batch) {
      if (a === b) continue;
      const hidden = hits.get(pictureKey(a.query))!.has(pictureKey(b.reference));
      assert.ok(!hidden, `${b.reference.name} is a hidden positive of ${a.query.name}`);
      for (const one of [a.query, a.reference]) {
        for (const other of [b.query, b.reference]) {
          assert.notEqual(pictureKey(one), pictureKey(other), `${one.name} occurs twice`);
        }
      }
    }
  }
}

const sampler = (
  entries: Entry[],
  batchSize: number,
  options: { sampling?: Sampling; seed?: number; state?: ReturnType<Sampler["state"]> } = {},
) =>
  createSampler({
    pairs: pairsOf(entries, "pos_semipos"),
    entries,
    batchSize,
    sampling: "exclusive",
    seed: 1,
    ...options,
  });

const SHAPES: [batchSize: number, shape: Shape][] = [];
for (const isMap of [false, true]) {
  const sparse = { queries: 90, references: 120, degree: 6, isMap, copies: 1, twoRoles: false };
  SHAPES.push(
    [1, { ...sparse, queries: 9 }],
    [8, sparse],
    [8, { ...sparse, copies: 3 }],
    [8, { ...sparse, twoRoles: true }],
    [16, { ...sparse, degree: 3, copies: 2, twoRoles: true }],
    [8, { ...sparse, references: 30, degree: 3 }], // popular references
    [6, { ...sparse, queries: 40, references: 40, degree: 12 }], // barely room for a batch
  );
}
for (const [batchSize, shape] of SHAPES) {
  Deno.test(`createSampler() keeps its promises at ${batchSize}, ${JSON.stringify(shape)}`, () => {
    for (let seed = 0; seed < 5; seed++) {
      const entries = randomEntries(shape, seed);
      const pairs = pairsOf(entries, "pos_semipos");
      const { nextEpoch, state } = sampler(entries, batchSize, { seed });
      let before = new Set<number>();
      for (let epoch = 0; epoch < 4; epoch++) {
        const waiting = state().carried;
        const { batches, carried } = nextEpoch();
        const now = new Set(batches.flat());
        for (const batch of batches) {
          assert.equal(batch.length, batchSize);
          assertExclusive(batch.map((pair) => pairs[pair]!), entries);
        }
        assert.equal(carried, pairs.length - now.size);
        assert.ok(batches.length <= 2 * Math.ceil(pairs.length / batchSize), `${batches.length}`);
        assert.deepEqual(new Set(state().carried), new Set(pairs.keys()).difference(now));
        if (waiting.length > 0) assert.equal(batches[0]![0], waiting[0]);
        if (epoch > 0) assert.equal(now.union(before).size, pairs.length, `epoch ${epoch}`);
        before = now;
      }
    }
  });
}

Deno.test("createSampler() uses no pair twice in an epoch when all fit", () => {
  const entries = toEntries(Array.from({ length: 50 }, (_, i) => [`r${i}`]), 3); // 150 pairs
  const { nextEpoch } = sampler(entries, 16);
  for (let epoch = 0; epoch < 3; epoch++) {
    const used = nextEpoch().batches.flat();
    assert.equal(used.length, 144); // 9 batches; 6 pairs are carried
    assert.equal(new Set(used).size, 144);
  }
});

Deno.test("createSampler() lets pairs in that can lead no full batch, and does not stall", () => {
  // "hub" is a reference of every query: its 20 pairs exclude all others.
  const entries = toEntries(Array.from({ length: 20 }, (_, i) => [`r${i}`, "hub"]));
  const { nextEpoch } = sampler(entries, 4);
  for (let epoch = 0; epoch < 3; epoch++) {
    const { batches, carried } = nextEpoch();
    assert.equal(batches.length, 5);
    assert.equal(carried, 20);
  }
});

Deno.test("createSampler() draws no endless epochs where pairs hardly fit, and lets them take turns", () => {
  // 100 queries share one tile, so that a batch holds one of them, beside 7 of 14 that are free.
  const free = Array.from({ length: 14 }, (_, i) => [`r${i}`]);
  const entries = toEntries([...Array.from({ length: 100 }, () => ["hub"]), ...free]);
  const { nextEpoch } = sampler(entries, 8);
  const most = 2 * Math.ceil(114 / 8);
  const seen = new Set<number>();
  const lengths = Array.from({ length: 5 }, () => {
    const { batches } = nextEpoch();
    for (const pair of batches.flat()) seen.add(pair);
    const uses = free.map((_, i) => batches.flat().filter((pair) => pair === 100 + i).length);
    assert.ok(Math.max(...uses) - Math.min(...uses) <= 1, `uses in one epoch: ${uses}`);
    return batches.length;
  });
  assert.deepEqual(lengths, [2, most, most, most, most]); // in the first, each free one goes once
  assert.equal(seen.size, 114); // 2 + 4 x 30 turns for the 100
});

Deno.test("createSampler() goes by root, folder and name", () => {
  const [a, b] = toEntries([["r"], ["r"]]) as [Entry, Entry];
  assert.throws(() => sampler([a, b], 2), RangeError); // one reference for both
  b.references[0]!.picture = { root: "/e", folder: "", name: "r" };
  assert.equal(sampler([a, b], 2).nextEpoch().batches.length, 1);
});

Deno.test("createSampler() also minds semi-positives that make no pairs", () => {
  const entries = toEntries([["a", "b"], ["b"]]);
  const pairs = pairsOf(entries, "pos");
  assert.equal(pairs.length, 2);
  const input = { pairs, entries, batchSize: 2, seed: 1 };
  assert.throws(() => createSampler({ ...input, sampling: "exclusive" }), RangeError);
  assert.equal(createSampler({ ...input, sampling: "random" }).nextEpoch().batches.length, 1);
});

Deno.test("createSampler() says how large a batch can be when there is no full one", () => {
  // Ten places, each with two queries and two references that all belong together.
  const places = Array.from({ length: 20 }, (_, i) => i >> 1);
  const entries = toEntries(places.map((place) => [`r${place}`, `s${place}`]));
  assert.throws(() => sampler(entries, 11), {
    name: "RangeError",
    message: "Cannot make exclusive batches of 11 from 40 pairs: the largest found has 10, " +
      "lower --batch_size or use --sampling random",
  });
  assert.throws(() => sampler(entries, 41, { sampling: "random" }), {
    name: "RangeError",
    message: "Cannot make random batches of 41 from 40 pairs: the largest found has 40, " +
      "lower --batch_size",
  });
  assert.throws(() => sampler([], 1), RangeError);
});

Deno.test("createSampler() finds a full batch where first come, first served does not", () => {
  // Ten queries have one reference each. Another one, first in the file, has all of these: each of
  // its pairs excludes the others.
  const all = Array.from({ length: 10 }, (_, i) => `r${i}`);
  const { nextEpoch } = sampler(toEntries([all, ...all.map((name) => [name])]), 10);
  assert.equal(nextEpoch().batches.length, 1);
});

Deno.test("createSampler() makes a batch an epoch even where first come, first served makes none", () => {
  const shape = SHAPES.at(-1)![1];
  for (let seed = 0; seed < 20; seed++) {
    const entries = randomEntries(shape, seed);
    let largest: Sampler | null = null;
    for (let batchSize = 20; largest === null; batchSize--) {
      try {
        largest = sampler(entries, batchSize);
      } catch (error) {
        assert.ok(error instanceof RangeError);
      }
    }
    for (let epoch = 0; epoch < 3; epoch++) assert.ok(largest.nextEpoch().batches.length > 0);
  }
});

Deno.test("createSampler() carries what is left of random batches, first in the next epoch", () => {
  const entries = randomEntries({ ...SHAPES[0]![1], queries: 50 }, 3);
  const { nextEpoch, state } = sampler(entries, 16, { sampling: "random" });
  const { pairs } = state();
  const first = nextEpoch();
  assert.equal(first.batches.length, Math.floor(pairs / 16));
  assert.equal(first.carried, pairs % 16);
  assert.ok(first.carried > 0);
  const { carried } = state();
  const second = nextEpoch();
  assert.deepEqual(second.batches[0]!.slice(0, carried.length), carried);
  assert.notDeepEqual(second.batches[1], first.batches[1]);
  assert.equal(new Set(second.batches.flat()).size, 16 * second.batches.length);
});

for (const sampling of ["exclusive", "random"] as const) {
  Deno.test(`createSampler() continues from its state, ${sampling}`, () => {
    const entries = randomEntries(SHAPES.at(-1)![1], 5);
    const whole = sampler(entries, 6, { sampling });
    for (let epoch = 0; epoch < 3; epoch++) {
      const state = JSON.parse(JSON.stringify(whole.state()));
      const restored = sampler(entries, 6, { sampling, state });
      assert.ok(epoch === 0 || state.carried.length > 0);
      assert.deepEqual(restored.nextEpoch(), whole.nextEpoch());
      assert.deepEqual(restored.state(), whole.state());
    }
  });
}

Deno.test("createSampler() depends on the seed, and on nothing of the machine", () => {
  const entries = toEntries(Array.from({ length: 12 }, (_, i) => [`r${i}`]));
  const { nextEpoch, state } = sampler(entries, 4, { seed: 42 });
  // As first computed; a change here changes the training of everyone who resumes.
  assert.deepEqual(nextEpoch().batches, [[3, 0, 8, 10], [1, 5, 4, 6], [2, 11, 9, 7]]);
  assert.deepEqual(nextEpoch().batches, [[5, 11, 7, 2], [0, 3, 6, 10], [1, 8, 9, 4]]);
  assert.deepEqual(state(), { epoch: 2, pairs: 12, carried: [] });
  const other = sampler(entries, 4, { seed: 43 }).nextEpoch().batches;
  assert.notDeepEqual(other, sampler(entries, 4, { seed: 42 }).nextEpoch().batches);
});

Deno.test("createSampler() refuses a state of other data", () => {
  const entries = toEntries([["a"], ["b"], ["c"]]);
  const state = { epoch: 2, pairs: 3, carried: [1] };
  sampler(entries, 2, { state });
  for (
    const change of [{ pairs: 4 }, { epoch: -1 }, { carried: [3] }, { carried: [1, 1] }, {
      carried: [0.5],
    }]
  ) {
    assert.throws(() => sampler(entries, 2, { state: { ...state, ...change } }), {
      name: "RangeError",
      message: `Cannot restore the sampler: its state is of ${change.pairs ?? 3} pairs at epoch ` +
        `${change.epoch ?? 2}, expected 3 pairs and distinct carried ones among them`,
    });
  }
});

Deno.test("createSampler() batches 21,210 pairs in under a second", () => {
  // 2,121 queries of one reference each, ten copies, as the merged UAV-VisLoc and VPAIR.
  const entries = toEntries(Array.from({ length: 2121 }, (_, i) => [`r${i}`]), 10);
  const seconds = [1, 2, 3].map(() => { // the best of three: other work may hold the processor
    const start = performance.now();
    assert.equal(sampler(entries, 128).nextEpoch().batches.length, 165);
    return (performance.now() - start) / 1000;
  });
  assert.ok(Math.min(...seconds) < 1, `${seconds} s`);
});

const seneca = sharedPath("data/seneca");
Deno.test({
  name: "createSampler() batches the flight of Seneca, as far as it has room",
  ignore: seneca === null,
  fn: async () => {
    const path = join(seneca!, "cross-area-drone2drone-train.json");
    const entries = parseEntries(await readPairsText(path), { path, dataRoot: seneca! });
    const pairs = pairsOf(entries, "pos_semipos");
    const { nextEpoch } = sampler(entries, 8);
    const drawn = [...nextEpoch().batches, ...nextEpoch().batches];
    for (const batch of drawn) assertExclusive(batch.map((pair) => pairs[pair]!), entries);
    assert.equal(new Set(drawn.flat()).size, 267);
    // The batches filled up repeat pairs, but take those that still wait first.
    assert.ok(drawn.flat().length < 3 * 267, `${drawn.flat().length} draws`);
    assert.throws(() => sampler(entries, 16), /the largest found has 12,/);
  },
});
