/**
 * What became of each query: its rank, and its best references with score, place and distance.
 *
 * @module
 */
import type { Location } from "../data/pairs.ts";
import { pictureNames } from "./embeddings.ts";
import type { Evaluation } from "./evaluate.ts";
import type { Protocol } from "./protocol.ts";
import { type Verdict, verdictOf } from "./report/verdict.ts";

/** A reference among the best of a query. */
export interface RankedReference {
  /** Its picture, named as in files of embeddings. */
  reference: string;
  /** Product of the embeddings: their cosine, or less where a video's frames were averaged. */
  score: number;
  location: Location | null;
}

/** The same where the truth is known. */
export interface PredictedReference extends RankedReference {
  verdict: Verdict;
  /** To the query; null where one of the two has no place. */
  metres: number | null;
}

/** One query of an evaluation. */
export interface Prediction {
  /** Its picture, named as in files of embeddings. */
  query: string;
  source: string;
  location: Location | null;
  /** Of its best positive, from 1; null if it has none, as a query of University-1652 may. */
  rank: number | null;
  /** Best first, at most `TOP_K`. */
  top: PredictedReference[];
}

/** All queries, in the order of the protocol. */
export function predictionsOf(
  { queries, gallery, truths }: Protocol,
  { rankings, distances }: Evaluation,
): Prediction[] {
  const namesOf = (items: typeof gallery) => pictureNames(items.map(({ picture }) => picture));
  const [queryNames, galleryNames] = [namesOf(queries), namesOf(gallery)];
  return queries.map(({ source, location }, q) => {
    const { positiveRanks, top, topScores } = rankings[q]!;
    const [best] = positiveRanks;
    return {
      query: queryNames[q]!,
      source,
      location,
      rank: best === undefined ? null : best + 1,
      top: top.map((j, i) => {
        const metres = distances[q]?.[i] ?? Infinity;
        return {
          reference: galleryNames[j]!,
          score: topScores[i]!,
          verdict: verdictOf(truths[q]!, j),
          location: gallery[j]!.location,
          metres: Number.isFinite(metres) ? metres : null,
        };
      }),
    };
  });
}
