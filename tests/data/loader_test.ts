import assert from "node:assert/strict";
import { join } from "node:path";
import { AUGMENT_DEFAULTS } from "../../data/augment_settings.ts";
import { openDecoder } from "../../data/decode.ts";
import type { DecodePool } from "../../data/decode_pool.ts";
import { createPairLoader, loadPictures, type PairLoaderOptions } from "../../data/loader.ts";
import { type Pair, picturePath } from "../../data/pairs.ts";

const SIZE = 16;
const BYTES = SIZE * SIZE * 3;

/** Runs a test with `count` pairs of small pictures of their own; picture i is of colour i, and */
/** its right half is brighter. Queries have even numbers, references odd ones. */
async function withPairs(count: number, test: (pairs: Pair[]) => Promise<void>): Promise<void> {
  const root = await Deno.makeTempDir();
  try {
    const { encodePng } = await openDecoder();
    const size = { width: 24, height: 20 };
    for (let i = 0; i < 2 * count; i++) {
      const pixels = Uint8Array.from(
        { length: 24 * 20 * 3 },
        (_, k) => [i % 200, 100, 50][k % 3]! + (Math.floor(k / 3) % 24 < 12 ? 0 : 40),
      );
      await Deno.writeFile(join(root, `${i}.png`), await encodePng(pixels, size));
    }
    await test(Array.from({ length: count }, (_, entry) => ({
      query: { root, folder: "", name: `${2 * entry}.png` },
      reference: { root, folder: "", name: `${2 * entry + 1}.png` },
      ...{ weight: entry / 8, source: "visloc", entry, altitudeMeters: null, duplicateId: 0 },
    })));
  } finally {
    await Deno.remove(root, { recursive: true });
  }
}

interface Loaded {
  pixels: Uint8Array;
  weights: number[];
  pairs: readonly number[];
}

/** All batches of an epoch, copied, and the warnings. */
async function loadAll(
  options: Partial<PairLoaderOptions> & { pairs: Pair[] },
  order: number[][],
  { epoch = 0, start = 0 } = {},
): Promise<{ batches: Loaded[]; warnings: string[]; replaced: readonly string[] }> {
  const warnings: string[] = [];
  const loader = createPairLoader({
    ...{ imgSize: SIZE, numWorkers: 0, seed: 1, augment: null },
    ...options,
    onWarning: (line) => warnings.push(line),
  });
  try {
    const batches: Loaded[] = [];
    for await (const { pixels, weights, pairs } of loader.batches(epoch, order, start)) {
      batches.push({ pixels: pixels.slice(), weights: [...weights], pairs });
    }
    return { batches, warnings, replaced: loader.replaced };
  } finally {
    await loader.close();
  }
}

/** The number in the first pixel of each picture of a batch. */
function numbersOf({ pixels }: Loaded): number[] {
  return Array.from({ length: pixels.length / BYTES }, (_, i) => pixels[i * BYTES]!);
}

Deno.test("PairLoader.batches() gives the queries of a batch, then its references", async () => {
  await withPairs(8, async (pairs) => {
    const { batches } = await loadAll({ pairs }, [[3, 0, 6], [2, 5]]);
    assert.deepEqual(batches.map(numbersOf), [[6, 0, 12, 7, 1, 13], [4, 10, 5, 11]]);
    assert.deepEqual(batches.map(({ weights }) => weights), [[0.375, 0, 0.75], [0.25, 0.625]]);
    assert.deepEqual(batches.map(({ pairs }) => pairs), [[3, 0, 6], [2, 5]]);
    // Rows of RGB, unmirrored: the first pixel and the last one of the first row.
    const { pixels } = batches[0]!;
    assert.deepEqual([...pixels.subarray(0, 3)], [6, 100, 50]);
    assert.deepEqual([...pixels.subarray(SIZE * 3 - 3, SIZE * 3)], [46, 140, 90]);
  });
});

Deno.test("PairLoader.batches() takes more batches than a call takes arguments", async () => {
  await withPairs(1, async (pairs) => {
    const options = { imgSize: SIZE, numWorkers: 0, seed: 1, augment: null, onWarning: () => {} };
    const loader = createPairLoader({ ...options, pairs });
    try {
      const order = new Array<number[]>(200_000).fill([0]);
      const { value } = await loader.batches(0, order).next();
      assert.deepEqual(value!.pairs, [0]);
    } finally {
      await loader.close();
    }
  });
});

Deno.test("PairLoader.batches() is the same whatever the number of workers", async () => {
  await withPairs(8, async (pairs) => {
    const order = [[3, 0, 6], [2, 5, 1], [7, 4]];
    const augment = AUGMENT_DEFAULTS;
    const alone = await loadAll({ pairs, augment }, order);
    for (const numWorkers of [1, 3]) {
      assert.deepEqual(await loadAll({ pairs, augment, numWorkers }, order), alone);
    }
  });
});

Deno.test("PairLoader.batches() resumes in the middle of an epoch", async () => {
  await withPairs(8, async (pairs) => {
    const order = [[3, 0, 6], [2, 0, 1], [3, 0]]; // some come again
    const augment = AUGMENT_DEFAULTS;
    const { batches } = await loadAll({ pairs, augment }, order);
    const rest = await loadAll({ pairs, augment }, order, { start: 1 });
    assert.deepEqual(rest.batches, batches.slice(1));
    assert.deepEqual((await loadAll({ pairs }, order, { start: 3 })).batches, []);
  });
});

Deno.test("PairLoader.batches() draws anew for each seed, epoch, copy, pair of an entry and repeat", async () => {
  await withPairs(1, async ([pair]) => {
    const pairs = [pair!, pair!, { ...pair!, entry: 1 }, { ...pair!, duplicateId: 1 }];
    const augment = AUGMENT_DEFAULTS;
    const order = [[0], [1], [2], [3], [0]];
    const loads = [
      await loadAll({ pairs, augment }, order),
      await loadAll({ pairs, augment, seed: 2 }, order),
      await loadAll({ pairs, augment }, order, { epoch: 1 }),
    ];
    const seen = loads.flatMap(({ batches }) => batches.map(({ pixels }) => pixels.join()));
    assert.equal(new Set(seen).size, 15);
  });
});

Deno.test("PairLoader replaces a pair with a damaged picture, names and counts it", async () => {
  await withPairs(20, async (pairs) => {
    const damaged = picturePath(pairs[4]!.reference);
    await Deno.writeTextFile(damaged, "no picture");
    const order = [[3, 4, 5], [6, 7], [4, 8]];
    const { batches, warnings, replaced } = await loadAll({ pairs }, order);
    assert.deepEqual(replaced, [damaged]);
    assert.equal(warnings.length, 1);
    assert.match(warnings[0]!, /^Cannot decode .*9\.png: .*; another pair takes its place$/);

    for (const [i, { pixels, weights, pairs: used }] of batches.entries()) {
      assert.equal(pixels.length, order[i]!.length * 2 * BYTES);
      assert.equal(new Set(used).size, used.length); // no pair twice
      for (const [k, index] of used.entries()) {
        if (order[i]![k] === 4) assert.notEqual(index, 4);
        else assert.equal(index, order[i]![k]);
        assert.equal(weights[k], index / 8);
      }
      assert.deepEqual(numbersOf(batches[i]!), [
        ...used.map((index) => 2 * index),
        ...used.map((index) => 2 * index + 1),
      ]);
    }
    const again = await loadAll({ pairs, numWorkers: 2 }, order, { start: 2 });
    assert.deepEqual(again.batches, batches.slice(2));
  });
});

Deno.test("PairLoader replaces a damaged pair by another one in other epochs", async () => {
  await withPairs(8, async (pairs) => {
    await Deno.writeTextFile(picturePath(pairs[4]!.query), "no picture");
    const used = new Set<number>();
    for (let epoch = 0; epoch < 10; epoch++) {
      const { batches } = await loadAll({ pairs }, [[4]], { epoch });
      used.add(batches[0]!.pairs[0]!);
    }
    assert(used.size > 1, `only ${[...used]}`);
  });
});

Deno.test("PairLoader does not replace by a pair that shares ground with the batch", async () => {
  await withPairs(4, async (pairs) => {
    // Query 0 also shows the reference of 1, query 2 that of 0, and 4 is a copy of 0.
    pairs.push({ ...pairs[0]!, duplicateId: 1 });
    pairs.push({ ...pairs[0]!, reference: pairs[1]!.reference });
    pairs.push({ ...pairs[2]!, reference: pairs[0]!.reference });
    const missing = { root: pairs[0]!.query.root, folder: "", name: "missing.png" };
    pairs.push({ ...pairs[3]!, query: missing, entry: 9 });
    for (let seed = 0; seed < 10; seed++) {
      const { batches, warnings } = await loadAll({ pairs, seed }, [[0, 7]]);
      assert.deepEqual(batches[0]!.pairs, [0, 3]);
      assert.match(warnings[0]!, /^Cannot read .*missing\.png: no such file; another pair/);
    }
    // Where every pair shares ground, one of them has to do.
    const { batches } = await loadAll({ pairs }, [[0, 1, 2, 3, 7]]);
    assert.notEqual(batches[0]!.pairs[4], 7);
  });
});

for (const numWorkers of [0, 2]) {
  Deno.test(`PairLoader stops above 1 % damaged pictures with ${numWorkers} workers`, async () => {
    await withPairs(60, async (pairs) => { // 120 pictures: one may be damaged, two are too many
      const order = [[0, 1, 2], [3, 4, 5]];
      await Deno.writeFile(picturePath(pairs[0]!.query), new Uint8Array());
      assert.equal((await loadAll({ pairs, numWorkers }, order)).replaced.length, 1);
      await Deno.remove(picturePath(pairs[4]!.query));
      await assert.rejects(loadAll({ pairs, numWorkers }, order), {
        name: "Error",
        message: "Cannot go on: 2 of 120 pictures cannot be decoded, at most 1 % may be; " +
          `the last one: Cannot read ${picturePath(pairs[4]!.query)}: no such file`,
      });
    });
  });

  Deno.test(`PairLoader.close() ends an epoch that is under way with ${numWorkers} workers`, async () => {
    await withPairs(40, async (pairs) => {
      const loader = createPairLoader({
        ...{ pairs, imgSize: SIZE, seed: 1, augment: AUGMENT_DEFAULTS, numWorkers },
        onWarning: assert.fail,
      });
      const batches = loader.batches(0, pairs.map((_, i) => [i, (i + 1) % 40]));
      assert.equal((await batches.next()).done, false);
      await loader.close();
      await loader.close();
      await assert.rejects(async () => {
        for await (const _ of batches);
      }, /^Error: Cannot .*the loader was closed/);
    });
  });

  Deno.test(`loadPictures() loads in order, in batches, with ${numWorkers} workers`, async () => {
    await withPairs(5, async (pairs) => {
      const paths = pairs.map(({ reference }) => picturePath(reference));
      const seen: number[][] = [];
      for await (
        const { pixels, count } of loadPictures(paths, { imgSize: SIZE, batchSize: 2, numWorkers })
      ) {
        assert.equal(pixels.length, 2 * BYTES);
        seen.push(Array.from({ length: count }, (_, i) => pixels[i * BYTES]!));
      }
      assert.deepEqual(seen, [[1, 3], [5, 7], [9]]);
    });
  });

  Deno.test(`loadPictures() names all damaged pictures, with ${numWorkers} workers`, async () => {
    await withPairs(15, async (pairs) => {
      const paths = pairs.flatMap(({ query, reference }) => [query, reference].map(picturePath));
      const refusal = async () => {
        let count = 0;
        const batches = loadPictures(paths, { imgSize: SIZE, batchSize: 2, numWorkers });
        try {
          for await (const batch of batches) count += batch.count;
        } catch (error) {
          return { count, message: (error as Error).message };
        }
      };
      const wanted = (i: number) => `Cannot decode ${paths[i]}: the file is empty`;
      await Deno.writeFile(paths[3]!, new Uint8Array());
      assert.deepEqual(await refusal(), { count: 2, message: wanted(3) });
      await Deno.writeFile(paths[8]!, new Uint8Array());
      assert.deepEqual(await refusal(), {
        count: 2,
        message: `Cannot load 2 of 30 pictures: ${wanted(3)}; ${wanted(8)}`,
      });
      for (const path of paths) await Deno.writeFile(path, new Uint8Array());
      const { message } = (await refusal())!;
      assert(message.endsWith(`; ${wanted(19)}; and 10 more`), message);
    });
  });
}

Deno.test("loadPictures() stops when it is told to, also while it seeks damaged pictures", async () => {
  await withPairs(15, async (pairs) => {
    const paths = pairs.map(({ reference }) => picturePath(reference));
    for (const damaged of [false, true]) {
      if (damaged) await Deno.writeFile(paths[0]!, new Uint8Array());
      const options = { imgSize: SIZE, batchSize: 1, numWorkers: 0 };
      let looks = 0;
      // Asked once a batch: it is aborted before the third.
      const signal = {
        throwIfAborted: () => {
          if (++looks === 3) throw new Error("stopped");
        },
      } as AbortSignal;
      let count = 0;
      await assert.rejects(async () => {
        for await (const batch of loadPictures(paths, { ...options, signal })) count += batch.count;
      }, new Error("stopped"));
      assert.equal(count, damaged ? 0 : 2);
    }
  });
});

Deno.test("PairLoader.batches() refuses an index that is no pair", async () => {
  await withPairs(1, async (pairs) => {
    await assert.rejects(loadAll({ pairs }, [[0, 1]]), {
      name: "RangeError",
      message: "Cannot load pair 1: there are 1 pairs",
    });
  });
});

Deno.test("PairLoader replaces two pairs of a batch by two that share no ground with each other", async () => {
  await withPairs(4, async (pairs) => {
    // Both have the damaged picture; 3 and 4 are one pair, 2 another.
    const damaged = picturePath(pairs[0]!.reference);
    await Deno.writeTextFile(damaged, "no picture");
    const [a, b, c, d] = pairs as [Pair, Pair, Pair, Pair];
    const all = [a, { ...b, reference: a.reference }, c, d, { ...d, duplicateId: 1 }];
    for (let seed = 0; seed < 20; seed++) {
      const { batches } = await loadAll({ pairs: all, seed }, [[0, 1]]);
      const queries = batches[0]!.pairs.map((index) => picturePath(all[index]!.query));
      assert.deepEqual(queries.sort(), [picturePath(c.query), picturePath(d.query)]);
    }
  });
});

Deno.test("loadPictures() leaves a pool of others open, and asks it for one picture at a time without workers", async () => {
  let [running, most, closed] = [0, 0, 0];
  const pool: DecodePool = {
    failed: false,
    async run() {
      most = Math.max(most, ++running);
      await Promise.resolve();
      running--;
      const size = { width: SIZE, height: SIZE };
      return { pixels: new Uint8Array(BYTES), crop: { left: 0, top: 0, ...size }, picture: size };
    },
    close: () => (closed++, Promise.resolve()),
  };
  for (const [numWorkers, wanted] of [[0, 1], [1, 10]] as const) {
    most = 0;
    const paths = Array.from({ length: 10 }, (_, i) => `${i}.png`);
    const options = { imgSize: SIZE, batchSize: 4, numWorkers, pool };
    for await (const _ of loadPictures(paths, options));
    assert.equal(most, wanted);
  }
  assert.equal(closed, 0);
});
