import assert from "node:assert/strict";
import { type QueryRanking, rankingOf, type Truth } from "../../eval/ranks.ts";
import { rankQueries } from "../../eval/ranks_cpu.ts";
import { uniform } from "../testing.ts";

/** Ranks one query whose scores are given: they are its embedding, the gallery is the identity. */
function rankScores(scores: number[], truth: Partial<Truth>, topK = 10): QueryRanking {
  const dim = scores.length;
  const gallery = new Float32Array(dim * dim);
  for (let j = 0; j < dim; j++) gallery[j * dim + j] = 1;
  const truths = [{ positives: [], semiPositives: [], ...truth }];
  const query = Float32Array.from(scores);
  return rankQueries({ query, gallery, dim, truths, topK })[0]!;
}

Deno.test("rankQueries() ranks a hand-made row", () => {
  // Best first: 3 (0.9), 0 (0.8), 4 (0.5), 1 (0.25), 2 (-0.1).
  const scores = [0.8, 0.25, -0.1, 0.9, 0.5];
  const ranking = rankScores(scores, { positives: [1, 0], semiPositives: [4] }, 3);
  assert.deepEqual(ranking.positiveRanks, [1, 3]);
  assert.equal(ranking.hitRank, 1); // only 3 is neither positive nor semi-positive
  assert.deepEqual(ranking.top, [3, 0, 4]);
  assert.deepEqual(ranking.topScores, [0.9, 0.8, 0.5].map(Math.fround));
});

Deno.test("rankQueries() counts a better semi-positive against a positive but not against the hit", () => {
  const ranking = rankScores([0.5, 0.9, 0.1], { positives: [0], semiPositives: [1] });
  assert.deepEqual(ranking.positiveRanks, [1]);
  assert.equal(ranking.hitRank, 0);
});

Deno.test("rankQueries() ranks ties against us", () => {
  // 1 ties with the positives 0 and 3; 2 is above, 4 below.
  const ranking = rankScores([0.5, 0.5, 0.75, 0.5, 0.25], { positives: [0, 3] });
  assert.deepEqual(ranking.positiveRanks, [2, 3]);
  assert.equal(ranking.hitRank, 2);
  assert.deepEqual(ranking.top, [2, 1, 0, 3, 4]);
});

Deno.test("rankQueries() puts the positives of a collapsed model last", () => {
  const positives = [0, 299];
  const [ranking] = rankQueries({
    query: new Float32Array([1, 0]),
    gallery: Float32Array.from({ length: 600 }, (_, i) => 1 - i % 2),
    dim: 2,
    truths: [{ positives, semiPositives: [7] }],
    topK: 10,
  });
  assert.deepEqual(ranking!.positiveRanks, [298, 299]);
  assert.equal(ranking!.hitRank, 297);
});

Deno.test("rankQueries() takes a gallery of one, and a query without positives", () => {
  assert.deepEqual(rankScores([-1], { positives: [0] }), {
    positiveRanks: [0],
    hitRank: 0,
    top: [0],
    topScores: [-1],
  });
  const empty = rankScores([0.5, 1], {});
  assert.deepEqual([empty.positiveRanks, empty.hitRank, empty.top], [[], null, [1, 0]]);
});

Deno.test("rankQueries() refuses NaN in a query or a reference and says which", () => {
  const job = {
    dim: 2,
    topK: 1,
    truths: [0, 1].map((j) => ({ positives: [j], semiPositives: [] })),
  };
  const unit = [1, 0, 0, 1, 1, 0];
  for (
    const [query, gallery, message] of [
      [[1, 0, NaN, 0], unit, /query 1: its score against reference 1 is NaN/],
      [[1, 0, 0, 1], [1, 0, 0, 1, 0, NaN], /query 0: its score against reference 2 is NaN/],
    ] as const
  ) {
    const arrays = { query: Float32Array.from(query), gallery: Float32Array.from(gallery) };
    assert.throws(() => rankQueries({ ...job, ...arrays }), { name: "RangeError", message });
  }
  const unlabelled = { positives: [], semiPositives: [] };
  assert.throws(() => rankScores([1, NaN], unlabelled), RangeError);
});

Deno.test("rankQueries() refuses arrays that are no whole rows", () => {
  const job = { dim: 4, topK: 1, truths: [{ positives: [0], semiPositives: [] }] };
  for (const [queries, references] of [[5, 4], [4, 5], [8, 4]] as const) {
    const arrays = { query: new Float32Array(queries), gallery: new Float32Array(references) };
    assert.throws(() => rankQueries({ ...job, ...arrays }), TypeError);
  }
});

/** The definition: sort all references of a query, wrong before right among equal scores. */
function naiveRanking(scores: number[], { positives, semiPositives }: Truth): QueryRanking {
  const ranked = (right: readonly number[]) =>
    scores.map((_, j) => j).sort((a, b) =>
      scores[b]! - scores[a]! || Number(right.includes(a)) - Number(right.includes(b)) || a - b
    );
  const order = ranked(positives);
  const relevant = [...positives, ...semiPositives];
  return {
    positiveRanks: positives.map((j) => order.indexOf(j)).sort((a, b) => a - b),
    hitRank: relevant.length === 0 ? null : ranked(relevant).findIndex((j) => relevant.includes(j)),
    top: order.slice(0, 10),
    topScores: order.slice(0, 10).map((j) => scores[j]!),
  };
}

// Around the tile of 4 x 4 and the chunk of 256 references.
for (
  const [queries, references, dim] of [[1, 3, 5], [4, 255, 1], [5, 257, 8], [7, 515, 3]] as const
) {
  for (const isCoarse of [false, true]) {
    const kind = isCoarse ? "with many ties" : "without ties";
    Deno.test(`rankQueries() matches a sort at (${queries}, ${references}, ${dim}) ${kind}`, () => {
      // Small integers make dot products exact, so equal scores are equal in any order of summing.
      const levels = isCoarse ? 2 : 2 ** 12;
      const draw = (count: number, seed: number) =>
        uniform(count, seed).map((x) => Math.round(x * levels));
      const query = draw(queries * dim, 1);
      const gallery = draw(references * dim, 2);
      const truths = Array.from({ length: queries }, (_, q): Truth => {
        const right = [
          ...new Set(draw(6 * q, 10 + q).map((x) => Math.abs(x * 37 + q) % references)),
        ];
        return { positives: right.slice(0, 3), semiPositives: right.slice(3) };
      });
      const rankings = rankQueries({ query, gallery, dim, truths, topK: 10 });
      assert.equal(rankings.length, queries);
      rankings.forEach((ranking, q) => {
        const scores = Array.from({ length: references }, (_, j) => {
          let sum = 0;
          for (let d = 0; d < dim; d++) sum += query[q * dim + d]! * gallery[j * dim + d]!;
          return sum;
        });
        const naive = naiveRanking(scores, truths[q]!);
        assert.deepEqual(ranking.positiveRanks, naive.positiveRanks);
        assert.equal(ranking.hitRank, naive.hitRank);
        assert.deepEqual(ranking.topScores, naive.topScores);
        // Which of the tied references make the list is open; each must have its score.
        assert.deepEqual(ranking.top.map((j) => scores[j]), ranking.topScores);
        assert.equal(new Set(ranking.top).size, ranking.top.length);
      });
    });
  }
}

Deno.test("rankingOf() joins the counts of another producer", () => {
  // Scores 9 8 8 8 8 5: positives 1 and 3 tie with each other, with 2 and with semi-positive 4.
  const ranking = rankingOf({
    truth: { positives: [3, 1], semiPositives: [4] },
    counts: new Uint32Array([4, 4, 4]),
    top: [5, 1, 4, 2, 0],
    topScores: [5, 8, 8, 8, 9],
  });
  assert.deepEqual(ranking, {
    positiveRanks: [3, 4],
    hitRank: 2,
    top: [0, 2, 4, 1, 5],
    topScores: [9, 8, 8, 8, 5],
  });
});

Deno.test("rankQueries() keeps more references than it scores at a time", () => {
  const scores = Array.from({ length: 600 }, (_, j) => -j / 600); // the best come first
  const { top } = rankScores(scores, { positives: [0] }, 400);
  assert.deepEqual(top, Array.from({ length: 400 }, (_, j) => j));
});
