/**
 * Evaluation as `train` and `eval` do it: embed the pictures of a protocol, rank, count.
 *
 * @module
 */
import { type Entry, type Picture, picturePath } from "../data/pairs.ts";
import { takeRows } from "../eval/embeddings.ts";
import { evaluate, type Evaluation } from "../eval/evaluate.ts";
import { buildProtocol, type Protocol } from "../eval/protocol.ts";
import { type Ranker, rankingOf } from "../eval/ranks.ts";
import type { Embeddings } from "../eval/ranks.ts";
import type { Gpu } from "../kernels/gpu.ts";
import { searchGallery } from "../kernels/search.ts";
import { embedPictures, type ReadingOptions } from "../load_embedder.ts";
import type { Embedder } from "../model/embedder.ts";
import type { FlagValues } from "./cli.ts";
import type { DATA_FLAGS } from "./flags.ts";
import { Progress } from "./progress.ts";

/** What the flags say about an evaluation. */
export type EvaluationFlags = Pick<
  FlagValues<typeof DATA_FLAGS>,
  "eval_mode" | "gallery" | "same_map"
>;

/** The protocol that the flags ask for. */
export function protocolOf(entries: readonly Entry[], flags: EvaluationFlags): Protocol {
  return buildProtocol(entries, {
    evalMode: flags.eval_mode,
    gallery: flags.gallery,
    sameMap: flags.same_map,
  });
}

/** The pictures of a protocol. */
export function picturesOf({ queries, gallery }: Protocol): Picture[] {
  return [...queries, ...gallery].map(({ picture }) => picture);
}

/** How pictures are read, with a bar for progress. */
export type EmbedOptions = Omit<ReadingOptions, "onProgress">;

/**
 * Embeds pictures in order, under a progress bar.
 *
 * @returns `(paths, dim)`, rows of unit length.
 * @throws {Error} If a picture cannot be decoded.
 */
export async function embedWithBar(
  embedder: Embedder,
  paths: readonly string[],
  reading: EmbedOptions,
): Promise<Float32Array<ArrayBuffer>> {
  const progress = new Progress("embed");
  const start = performance.now();
  const onProgress = (done: number) => {
    const rate = done / (performance.now() - start) * 1000;
    progress.show({ done, total: paths.length, words: [`${rate.toFixed(1)} images/s`] });
  };
  const embeddings = await embedPictures(embedder, paths, { ...reading, onProgress });
  progress.end();
  return embeddings;
}

/** Embeds queries and references of a protocol; a picture in both roles is embedded once. */
export async function embedProtocol(
  embedder: Embedder,
  { queries, gallery }: Protocol,
  options: EmbedOptions,
): Promise<Embeddings> {
  const pathsOf = (items: Protocol["gallery"]) => items.map(({ picture }) => picturePath(picture));
  const sides = [pathsOf(queries), pathsOf(gallery)] as const;
  const rows = new Map([...new Set(sides.flat())].map((path, row) => [path, row]));
  const { dim } = embedder;
  const all = await embedWithBar(embedder, [...rows.keys()], options);
  const [query, references] = sides.map((paths) =>
    takeRows(all, dim, paths.map((path) => rows.get(path)!))
  );
  return { query: query!, gallery: references!, dim };
}

/** Ranks on the GPU. */
export function gpuRanker(gpu: Gpu): Ranker {
  return async ({ query, gallery, dim, truths, topK }) => {
    const wanted = truths.map(({ positives, semiPositives }) => [...positives, ...semiPositives]);
    const found = await searchGallery(gpu, {
      queries: query,
      gallery,
      dim,
      k: topK,
      truths: wanted,
    });
    return truths.map((truth, q) => rankingOf({ truth, ...found[q]! }));
  };
}

/** An evaluation with all that it came from, as a report wants it. */
export interface Evaluated {
  protocol: Protocol;
  embeddings: Embeddings;
  evaluation: Evaluation;
}

/** Embeds and evaluates. */
export async function evaluateWith(
  { gpu, embedder }: { gpu: Gpu; embedder: Embedder },
  protocol: Protocol,
  options: EmbedOptions,
  radii: readonly number[] = [],
): Promise<Evaluated> {
  const embeddings = await embedProtocol(embedder, protocol, options);
  const evaluation = await evaluate({ protocol, embeddings, radii, rank: gpuRanker(gpu) });
  return { protocol, embeddings, evaluation };
}
