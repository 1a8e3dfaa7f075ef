import assert from "node:assert/strict";
import type { Location } from "../../data/pairs.ts";
import { evaluate, type Metrics, TOP_K } from "../../eval/evaluate.ts";
import type { Protocol } from "../../eval/protocol.ts";
import type { Embeddings, QueryRanking, Truth } from "../../eval/ranks.ts";
import { rankQueries } from "../../eval/ranks_cpu.ts";
import { assertClose, uniform } from "../testing.ts";

/** Sums of some dozen terms up to 1000, each within 2^-53 of its size. */
const EXACT = { atol: 1e-10, rtol: 1e-12 };

const metres = (x: number, y = 0): Location => ({ unit: "metres", x, y });
const degrees = (lat: number, lon: number): Location => ({ unit: "degrees", lat, lon });

interface Draft {
  queries: { source?: string; location?: Location | null; truth: Partial<Truth> }[];
  gallery: (Location | null)[];
  skipped?: Record<string, number>;
}

function protocolOf({ queries, gallery, skipped = {} }: Draft): Protocol {
  const at = (folder: string, i: number) => ({ root: "root", folder, name: `${i}.png` });
  const sources = queries.map(({ source = "a" }) => source);
  return {
    evalMode: "pos",
    queries: queries.map(({ location = null }, q) => ({
      picture: at("drone", q),
      location,
      source: sources[q]!,
    })),
    gallery: gallery.map((location, j) => ({ picture: at("tiles", j), location })),
    truths: queries.map(({ truth }) => ({ positives: [], semiPositives: [], ...truth })),
    skipped: new Map([
      ...sources.map((source) => [source, 0] as const),
      ...Object.entries(skipped),
    ]),
    maps: null,
  };
}

/** Embeddings with the given scores: each query is its row, the gallery is the identity. */
function embeddingsOf(scores: number[][]): Embeddings {
  const dim = scores[0]!.length;
  const gallery = new Float32Array(dim * dim);
  for (let j = 0; j < dim; j++) gallery[j * dim + j] = 1;
  return { query: Float32Array.from(scores.flat()), gallery, dim };
}

Deno.test("evaluate() gives every metric overall and by source", async () => {
  const protocol = protocolOf({
    queries: [
      // Ranks its positives 1 and 3 at 0 and 2; top places are 100, 300 and 200 m away.
      { source: "gta", location: metres(0), truth: { positives: [1, 3] } },
      // Ranks its positive 0 at 1, behind its semi-positive 2.
      { source: "vpair", location: metres(0), truth: { positives: [0], semiPositives: [2] } },
    ],
    gallery: [metres(300), metres(100), metres(0, 400), metres(0, 200)],
    skipped: { gta: 2, vpair: 0, visloc: 5 },
  });
  const embeddings = embeddingsOf([[0.5, 0.75, -1, 0.25], [0.5, 0.25, 0.75, 0]]);
  const { metrics, rankings, distances } = await evaluate({
    protocol,
    embeddings,
    radii: [100, 350],
  });

  assert.deepEqual(rankings.map(({ top }) => top), [[1, 0, 3, 2], [2, 0, 1, 3]]);
  assert.deepEqual(distances, [[100, 300, 200, 400], [400, 300, 100, 200]]);
  assert.deepEqual(Object.keys(metrics), ["overall", "gta", "vpair", "visloc"]);
  const e = (d: number) => Math.exp(-0.001 * d);
  const gta: Metrics = {
    eval_mode: "pos",
    ...{ queries: 1, skipped: 2, gallery: 4 },
    ...{ "R@1": 100, "R@5": 100, "R@10": 100 },
    "R@1%": 100, // round(0.04) = 0: the first reference only
    "R@1%_floor": 0, // floor(4 / 100) = 0 references
    AP: 100 * (1 + 2 / 3) / 2,
    AP_trapezoid: 100 * (1 + (1 / 2 + 2 / 3) / 2) / 2,
    hit_rate: 100,
    "SDM@1": e(100),
    "SDM@3": (3 * e(100) + 2 * e(300) + e(200)) / 6,
    "SDM@5": (5 * e(100) + 4 * e(300) + 3 * e(200) + 2 * e(400)) / 14,
    ...{ "Dis@1": 100, "Dis@3": 200, "Dis@5": 250 },
    unmeasured: 0,
    ...{ "R@1_within_100m": 100, "R@5_within_100m": 100, "R@10_within_100m": 100 },
    ...{ "R@1_within_350m": 100, "R@5_within_350m": 100, "R@10_within_350m": 100 },
  };
  const vpair: Metrics = {
    eval_mode: "pos",
    ...{ queries: 1, skipped: 0, gallery: 4 },
    ...{ "R@1": 0, "R@5": 100, "R@10": 100, "R@1%": 0, "R@1%_floor": 0 },
    AP: 50,
    AP_trapezoid: 100 * (0 / 1 + 1 / 2) / 2,
    hit_rate: 100,
    "SDM@1": e(400),
    "SDM@3": (3 * e(400) + 2 * e(300) + e(100)) / 6,
    "SDM@5": (5 * e(400) + 4 * e(300) + 3 * e(100) + 2 * e(200)) / 14,
    ...{ "Dis@1": 400, "Dis@3": 800 / 3, "Dis@5": 250 },
    unmeasured: 0,
    ...{ "R@1_within_100m": 0, "R@5_within_100m": 100, "R@10_within_100m": 100 },
    ...{ "R@1_within_350m": 0, "R@5_within_350m": 100, "R@10_within_350m": 100 },
  };
  assertMetrics(metrics.gta!, gta);
  assertMetrics(metrics.vpair!, vpair);
  const overall = Object.fromEntries(
    Object.entries(gta).map(([key, value]) => {
      const other = vpair[key as "R@1"];
      return [key, typeof value === "number" ? (value + other!) / 2 : value];
    }),
  );
  const sums = { queries: 2, skipped: 7, gallery: 4, unmeasured: 0 };
  assertMetrics(metrics.overall!, { ...overall, ...sums } as Metrics);
  assert.deepEqual(metrics.visloc, {
    ...Object.fromEntries(Object.keys(gta).map((key) => [key, null])),
    ...{ eval_mode: "pos", queries: 0, skipped: 5, gallery: 4, unmeasured: 0 },
  });
});

function assertMetrics(actual: Metrics, expected: Metrics): void {
  assert.deepEqual(Object.keys(actual), Object.keys(expected));
  for (const [key, value] of Object.entries(expected)) {
    const got = actual[key as "R@1"];
    if (typeof value !== "number" || got === null) assert.equal(got, value, key);
    else assertClose([got], [value], EXACT);
  }
}

Deno.test("evaluate() measures degrees on the ellipsoid", async () => {
  const { distances } = await evaluate({
    protocol: protocolOf({
      queries: [{ location: degrees(0, 10), truth: { positives: [0] } }],
      gallery: [degrees(0, 10.001)],
    }),
    embeddings: embeddingsOf([[1]]),
  });
  // The equator is a circle of 6378137 m radius; degrees near 10 are good to 1e-15 * 10 / 0.001.
  assertClose(distances[0]!, [6378137 * Math.PI / 180 * 0.001], { atol: 1e-6, rtol: 0 });
});

Deno.test("evaluate() says nothing of distance where nothing can be measured", async () => {
  const { metrics, distances } = await evaluate({
    protocol: protocolOf({
      queries: [
        { source: "nowhere", truth: { positives: [0] } },
        { source: "other unit", location: degrees(0, 0), truth: { positives: [0] } },
      ],
      gallery: [metres(0), null],
    }),
    embeddings: embeddingsOf([[1, 0], [1, 0]]),
    radii: [200],
  });
  assert.deepEqual(distances, [null, null]);
  for (const { "SDM@1": sdm, "Dis@1": dis, "R@5_within_200m": within } of Object.values(metrics)) {
    assert.deepEqual([sdm, dis, within], [null, null, null]);
  }
  assert.equal(metrics.overall!.unmeasured, 2);
});

Deno.test("evaluate() lets references without a distance miss", async () => {
  const truth = { positives: [1] };
  const { metrics, distances } = await evaluate({
    protocol: protocolOf({
      queries: [{ location: metres(0), truth }, { location: metres(0), truth }],
      gallery: [null, metres(100), degrees(0, 0)],
    }),
    embeddings: embeddingsOf([[0.5, 1, 0], [0.5, 0, 1]]),
    radii: [200],
  });
  const { overall } = metrics;
  assert.deepEqual(distances, [[100, Infinity, Infinity], [Infinity, Infinity, 100]]);
  assertClose([overall!["SDM@1"]!], [Math.exp(-0.1) / 2], EXACT);
  assert.equal(overall!["Dis@1"], 100); // of the first query only
  assert.deepEqual([overall!["Dis@3"], overall!.unmeasured], [null, 2]);
  assert.deepEqual([overall!["R@1_within_200m"], overall!["R@5_within_200m"]], [50, 100]);
});

Deno.test("evaluate() gives a collapsed model a recall of 0", async () => {
  const queries = [0, 1, 2].map((j) => ({ truth: { positives: [j] } }));
  const { metrics } = await evaluate({
    protocol: protocolOf({ queries, gallery: new Array(20).fill(null) }),
    embeddings: {
      query: new Float32Array(3).fill(1),
      gallery: new Float32Array(20).fill(1),
      dim: 1,
    },
  });
  const { "R@1": r1, "R@10": r10, AP: ap, hit_rate: hit } = metrics.overall!;
  assert.deepEqual([r1, r10, hit], [0, 0, 0]);
  assertClose([ap!], [100 / 20], EXACT); // last of 20
});

Deno.test("evaluate() counts queries that the protocol keeps without a positive as skipped", async () => {
  const { metrics, rankings } = await evaluate({
    protocol: protocolOf({
      queries: [{ truth: {} }, { truth: { positives: [0] } }],
      gallery: [null],
    }),
    embeddings: embeddingsOf([[1], [1]]),
  });
  const { queries, skipped, "R@1": r1, unmeasured } = metrics.overall!;
  assert.deepEqual([queries, skipped, r1, unmeasured], [1, 1, 100, 1]);
  assert.deepEqual(rankings[0]!.top, [0]);
});

Deno.test("evaluate() names a picture whose embedding is not finite", async () => {
  const protocol = protocolOf({ queries: [{ truth: { positives: [0] } }], gallery: [null, null] });
  const { query, gallery, dim } = embeddingsOf([[1, 0]]);
  for (
    const [embeddings, message] of [
      [{ query: query.with(1, NaN), gallery, dim }, /query root.drone.0.png is NaN at position 1/],
      [
        { query, gallery: gallery.with(2, -Infinity), dim },
        /gallery root.tiles.1.png is -Infinity/,
      ],
    ] as const
  ) {
    // Whatever ranks: a kernel need not look for NaN itself.
    const rank = () => [{ positiveRanks: [0], hitRank: 0, top: [0], topScores: [1] }];
    await assert.rejects(evaluate({ protocol, embeddings, rank }), { name: "RangeError", message });
  }
  const short = { query, gallery: gallery.subarray(2), dim };
  await assert.rejects(evaluate({ protocol, embeddings: short }), TypeError);
});

Deno.test("evaluate() compares within a map and reports places in the whole gallery", async () => {
  const protocol = protocolOf({
    queries: [{ truth: { positives: [2] } }, { truth: { positives: [1], semiPositives: [3] } }],
    gallery: [null, null, null, null],
  });
  protocol.maps = [{ queries: [1], gallery: [1, 3] }, { queries: [0], gallery: [0, 2] }];
  const sizes: number[] = [];
  const { rankings, metrics } = await evaluate({
    protocol,
    embeddings: embeddingsOf([[0.1, 0.9, 0.5, 0.8], [0.9, 0.4, 0.8, 0.5]]),
    rank: (job) => {
      sizes.push(job.gallery.length / job.dim);
      assert.equal(job.topK, TOP_K);
      return rankQueries(job);
    },
  });
  assert.deepEqual(rankings.map(({ top }) => top), [[2, 0], [3, 1]]);
  assert.deepEqual(rankings.map(({ positiveRanks }) => positiveRanks), [[0], [1]]);
  assert.deepEqual(rankings.map(({ hitRank }) => hitRank), [0, 0]);
  assert.deepEqual(sizes, [2, 2]);
  assert.deepEqual([metrics.overall!.gallery, metrics.overall!["R@1"]], [4, 50]);
});

Deno.test("evaluate() takes 1 % of the references of a query's own map", async () => {
  const protocol = protocolOf({
    queries: [{ truth: { positives: [5] } }, { truth: { positives: [205] } }],
    gallery: Array.from({ length: 300 }, () => null),
  });
  const indices = (from: number, to: number) =>
    Array.from({ length: to - from }, (_, i) => from + i);
  const maps = [{ queries: [0], gallery: indices(0, 200) }, {
    queries: [1],
    gallery: indices(200, 300),
  }];
  const at = async (of: typeof protocol) => {
    const zeros = { dim: 1, query: new Float32Array(2), gallery: new Float32Array(300) };
    const ranking = { positiveRanks: [2], hitRank: 2, top: [0], topScores: [1] };
    const rank = ({ truths }: Parameters<typeof rankQueries>[0]) => truths.map(() => ranking);
    const { metrics } = await evaluate({ protocol: of, embeddings: zeros, rank });
    return [metrics.overall!["R@1%"], metrics.overall!["R@1%_floor"]];
  };
  // The first 3 and 2 of 200, 2 and 1 of 100, 4 and 3 of 300.
  assert.deepEqual(await at({ ...protocol, maps }), [50, 0]);
  assert.deepEqual(await at({ ...protocol, maps: null }), [100, 100]);
});

for (const levels of [3, 1000]) {
  Deno.test(`evaluate() matches a walk down the sorted lists on random data of ${levels} levels`, async () => {
    const [queries, references, dim] = [60, 263, 4];
    const draw = (count: number, seed: number) => uniform(count, seed);
    const embeddings = {
      dim,
      query: draw(queries * dim, 1).map((x) => Math.round(levels * x)),
      gallery: draw(references * dim, 2).map((x) => Math.round(levels * x)),
    };
    const places = draw(2 * (queries + references), 3);
    const placeOf = (i: number) => metres(1000 * places[2 * i]!, 1000 * places[2 * i + 1]!);
    const picks = draw(8 * queries, 4).map((x) => Math.floor(references * (x + 1) / 2));
    const protocol = protocolOf({
      queries: Array.from({ length: queries }, (_, q) => {
        const right = [...new Set(picks.slice(8 * q, 8 * q + 2 + q % 7))];
        const count = q % 10 === 0 ? 0 : 1 + q % 3; // some without a positive
        return {
          source: `s${q % 3}`,
          location: placeOf(q),
          truth: { positives: right.slice(0, count), semiPositives: right.slice(count) },
        };
      }),
      gallery: Array.from({ length: references }, (_, j) => placeOf(queries + j)),
    });
    const { metrics, rankings } = await evaluate({ protocol, embeddings, radii: [300] });
    for (const source of ["overall", "s0", "s1", "s2"]) {
      const mine = protocol.queries.flatMap((query, q) =>
        source === "overall" || query.source === source ? [q] : []
      );
      assertMetrics(metrics[source]!, naiveMetrics(protocol, embeddings, { mine, rankings }));
    }
    assert.ok(metrics.overall!.skipped === 6 && metrics.overall!["R@10"]! > 0);
  });
}

/** All metrics from the definitions: sort the whole gallery, wrong before right, and walk. */
function naiveMetrics(
  { queries, gallery, truths }: Protocol,
  embeddings: Embeddings,
  { mine, rankings }: { mine: number[]; rankings: QueryRanking[] },
): Metrics {
  const sums: Record<string, number> = {};
  const add = (key: string, value: number) => sums[key] = (sums[key] ?? 0) + value;
  let judged = 0;
  for (const q of mine) {
    const { positives, semiPositives } = truths[q]!;
    if (positives.length === 0) continue;
    judged++;
    const scores = gallery.map((_, j) => {
      let sum = 0;
      for (let d = 0; d < embeddings.dim; d++) {
        sum += embeddings.query[q * embeddings.dim + d]! *
          embeddings.gallery[j * embeddings.dim + d]!;
      }
      return sum;
    });
    const sorted = (right: readonly number[]) =>
      scores.map((_, j) => j).sort((a, b) =>
        scores[b]! - scores[a]! || +right.includes(a) - +right.includes(b)
      ).map((j) => right.includes(j));
    const list = sorted(positives);
    const first = list.indexOf(true);
    for (const k of [1, 5, 10]) add(`R@${k}`, list.slice(0, k).includes(true) ? 100 : 0);
    add("R@1%", first <= 3 ? 100 : 0); // round(2.63) as an index
    add("R@1%_floor", first < 2 ? 100 : 0);
    let found = 0;
    list.forEach((isRight, rank) => {
      if (!isRight) return;
      const before = rank === 0 ? 1 : found / rank;
      found++;
      add("AP", 100 * found / (rank + 1) / positives.length);
      add("AP_trapezoid", 100 * (before + found / (rank + 1)) / 2 / positives.length);
    });
    add("hit_rate", sorted([...positives, ...semiPositives])[0] ? 100 : 0);
    const place = queries[q]!.location;
    // The order among equal scores is open, so distances follow the list that was returned.
    const distances = rankings[q]!.top.map((j) => {
      const other = gallery[j]!.location;
      assert.ok(place?.unit === "metres" && other?.unit === "metres");
      return Math.sqrt((place.x - other.x) ** 2 + (place.y - other.y) ** 2);
    });
    const weights = { 1: [1], 3: [3, 2, 1], 5: [5, 4, 3, 2, 1] };
    for (const [k, row] of Object.entries(weights)) {
      const total = row.reduce((sum, weight) => sum + weight);
      row.forEach((weight, i) => {
        add(`SDM@${k}`, weight / total / Math.exp(distances[i]! / 1000));
        add(`Dis@${k}`, distances[i]! / row.length);
      });
    }
    for (const k of [1, 5, 10]) {
      add(`R@${k}_within_300m`, Math.min(...distances.slice(0, k)) <= 300 ? 100 : 0);
    }
  }
  const mean = (key: string) => sums[key]! / judged;
  const means = (...keys: string[]) => Object.fromEntries(keys.map((key) => [key, mean(key)]));
  return {
    eval_mode: "pos",
    ...{ queries: judged, skipped: mine.length - judged, gallery: gallery.length },
    ...means("R@1", "R@5", "R@10", "R@1%", "R@1%_floor", "AP", "AP_trapezoid", "hit_rate"),
    ...means("SDM@1", "SDM@3", "SDM@5", "Dis@1", "Dis@3", "Dis@5"),
    unmeasured: 0,
    ...means("R@1_within_300m", "R@5_within_300m", "R@10_within_300m"),
  } as Metrics;
}

Deno.test("evaluate() looks for ten references within a radius", async () => {
  const protocol = protocolOf({
    queries: [{ location: metres(0), truth: { positives: [0] } }],
    gallery: Array.from({ length: 12 }, (_, j) => metres(j === 9 ? 1 : 1000)),
  });
  const embeddings = embeddingsOf([Array.from({ length: 12 }, (_, j) => -j)]); // the tenth is near
  const { metrics, rankings } = await evaluate({ protocol, embeddings, radii: [5] });
  assert.equal(rankings[0]!.top.length, 10);
  const { "R@5_within_5m": five, "R@10_within_5m": ten } = metrics.overall!;
  assert.deepEqual([five, ten], [0, 100]);
});
