/**
 * Ranking strips: a query, the ten references that came first, and a map sketch.
 *
 * @module
 */
import { counterRandom, integer } from "../../data/random.ts";
import { openDecoder } from "../../data/decode.ts";
import { type Picture, picturePath } from "../../data/pairs.ts";
import { readThumbnail } from "../../data/thumbnail.ts";
import type { Evaluation } from "../evaluate.ts";
import type { Protocol } from "../protocol.ts";
import { fixed, metres } from "./format.ts";
import { mapSketch } from "./map_sketch.ts";
import { type Content, type Markup, markup } from "./markup.ts";
import { SIGNS, verdictOf } from "./verdict.ts";

/** What is compared with what, and what came out. */
export interface Ranked {
  protocol: Protocol;
  evaluation: Evaluation;
}

const EACH = 4; // strips of a kind: a dozen are some 2 MB
const QUERY_SIDE = 240; // px
const REFERENCE_SIDE = 128;
const QUALITY = 78;

/** Indices of queries to show, each once. */
export interface Choice {
  /** Right reference first, with the highest scores. */
  best: number[];
  /** First right reference furthest down. */
  worst: number[];
  random: number[];
}

/** Chooses queries that have a right reference; few of them leave the later lists short. */
export function chooseQueries({ rankings }: Evaluation, seed: number): Choice {
  const rank = (q: number) => rankings[q]!.positiveRanks[0]!;
  const score = (q: number) => rankings[q]!.topScores[0]!;
  const order = [...rankings.keys()]
    .filter((q) => rankings[q]!.positiveRanks.length > 0)
    .sort((a, b) => rank(a) - rank(b) || score(b) - score(a));
  const best = order.splice(0, EACH);
  const worst = order.splice(-EACH).reverse();
  const random = counterRandom(seed);
  const drawn = Array.from(
    { length: Math.min(EACH, order.length) },
    () => order.splice(integer(0, order.length - 1, random), 1)[0]!,
  );
  return { best, worst, random: drawn };
}

/** Strips of some queries. */
export async function rankingsSection(ranked: Ranked, seed: number): Promise<Markup> {
  const choice = chooseQueries(ranked.evaluation, seed);
  const groups: Content[] = [];
  for (const [kind, queries] of Object.entries(choice)) {
    if (queries.length > 0) groups.push(markup`<h3>${kind}</h3>`);
    for (const query of queries) groups.push(await strip(ranked, query));
  }
  return markup`<section id="rankings"><h2>Rankings</h2>
<p class="legend-line"><span class="right">✓ right</span>${
    ranked.protocol.evalMode === "pos" ? markup`<span class="semi">≈ semi-positive</span>` : null
  }<span class="wrong">✕ wrong</span><span>On the map: + query, ○ right references,
● first answer with a line from the query, • the other answers, · all references</span></p>
${groups}</section>`;
}

async function strip(ranked: Ranked, query: number): Promise<Markup> {
  const { protocol: { queries, gallery, truths }, evaluation } = ranked;
  const { picture, source, location } = queries[query]!;
  const { top, topScores, positiveRanks } = evaluation.rankings[query]!;
  const truth = truths[query]!;
  const images: Markup[] = []; // one after the other: each is whole in memory for a while
  for (const j of top) images.push(await imageTag(gallery[j]!.picture, REFERENCE_SIDE));
  const answers = top.map((j, i) => ({
    verdict: verdictOf(truth, j),
    location: gallery[j]!.location,
    score: topScores[i]!,
    distance: evaluation.distances[query]?.[i],
    image: images[i]!,
  }));
  return markup`<article class="strip">
<header><b class="name">${picture.name}</b> · ${source} · first right reference at rank ${
    fixed(positiveRanks[0]! + 1, 0)
  }</header>
<div class="query">${await imageTag(picture, QUERY_SIDE)}</div>
<ol>${
    answers.map(({ verdict, score, distance, image }) =>
      markup`<li class="${verdict}">${image}<span>${SIGNS[verdict]} ${fixed(score, 3)}</span>${
        distance === undefined ? null : markup`<span>${metres(distance)}</span>`
      }</li>`
    )
  }</ol>
${
    location && mapSketch({
      query: location,
      truth: truth.positives.map((j) => gallery[j]!.location),
      answers,
      gallery: gallery.map((item) => item.location),
    })
  }
</article>`;
}

/** An image, or a box with the name of a picture that cannot be read. */
async function imageTag(picture: Picture, side: number): Promise<Markup> {
  try {
    const small = await readThumbnail(picturePath(picture), side);
    const jpeg = await (await openDecoder()).encodeJpeg(small.pixels, small, QUALITY);
    return markup`<img src="data:image/jpeg;base64,${jpeg.toBase64()}" width="${small.width}" height="${small.height}"
alt="${picture.name}" title="${picture.name}">`;
  } catch {
    return markup`<div class="missing" title="Cannot be read">${picture.name}</div>`;
  }
}
