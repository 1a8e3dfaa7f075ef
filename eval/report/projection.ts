/**
 * Embeddings in two dimensions.
 *
 * @module
 */
import { counterRandom } from "../../data/random.ts";
import type { Protocol } from "../protocol.ts";
import type { Embeddings } from "../ranks.ts";
import { sourceColours } from "./colours.ts";
import { fixed } from "./format.ts";
import { type Markup, markup } from "./markup.ts";

const MAX_POINTS = 2000; // 2 s of UMAP
const NEIGHBOURS = 15; // UMAP's own default
const [WIDTH, HEIGHT, MARGIN] = [640, 600, 14];

interface Item {
  side: "query" | "reference";
  name: string;
  source: string;
  /** Embedding. */
  row: Float32Array;
}

/**
 * Queries (filled) and references (hollow) where UMAP puts their embeddings, coloured by source.
 *
 * @see McInnes, Healy, Melville 2018, arXiv:1802.03426
 */
export async function projectionFigure(
  protocol: Protocol,
  embeddings: Embeddings,
  seed: number,
): Promise<Markup> {
  const random = counterRandom(seed);
  const { queries, references } = itemsOf(protocol, embeddings);
  // Half of each, or more of one where the other has less.
  const some = Math.min(queries.length, Math.max(MAX_POINTS / 2, MAX_POINTS - references.length));
  const items = [
    ...sample(references, MAX_POINTS - some, random),
    ...sample(queries, some, random),
  ];
  const total = queries.length + references.length;
  const { UMAP } = await import("umap-js");
  const umap = new UMAP({ random, nNeighbors: Math.min(NEIGHBOURS, items.length - 1) });
  const places = intoFrame(umap.fit(items.map(({ row }) => Array.from(row))));
  const sources = [...protocol.skipped.keys()];
  const colours = sourceColours(sources);
  const radius = items.length > 400 ? 3 : 5;

  return markup`<figure class="projection">
<figcaption><h3>Embeddings, UMAP</h3><ul class="legend">${
    sources.map((source) =>
      markup`<li class="named" style="--c: ${colours.get(source)!}">${source}</li>`
    )
  }<li>● query</li><li>○ reference</li></ul></figcaption>
<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="Projection of the embeddings">${
    items.map(({ side, name, source }, i) => {
      const [x, y] = places[i]!;
      return markup`<circle class="${side}" style="--c: ${
        colours.get(source) ?? "var(--muted)"
      }" cx="${x.toFixed(1)}" cy="${
        y.toFixed(1)
      }" r="${radius}"><title>${side} ${name}</title></circle>`;
    })
  }</svg>
${
    items.length < total
      ? markup`<p class="note">${fixed(items.length, 0)} of ${
        fixed(total, 0)
      } pictures, at random</p>`
      : null
  }
</figure>`;
}

function itemsOf({ queries, gallery, truths }: Protocol, embeddings: Embeddings) {
  const { dim } = embeddings;
  const row = (values: Float32Array, i: number) => values.subarray(i * dim, (i + 1) * dim);
  // A reference has no source of its own: that of a query it belongs to, or that shares its root.
  const ofReference = new Map<number, string>();
  const ofRoot = new Map<string, string>();
  queries.forEach(({ source, picture }, q) => {
    ofRoot.set(picture.root, source);
    const { positives, semiPositives } = truths[q]!;
    for (const j of [...positives, ...semiPositives]) ofReference.set(j, source);
  });
  return {
    references: gallery.map(({ picture }, j): Item => ({
      side: "reference",
      name: picture.name,
      source: ofReference.get(j) ?? ofRoot.get(picture.root) ?? "",
      row: row(embeddings.gallery, j),
    })),
    queries: queries.map(({ picture, source }, q): Item => ({
      side: "query",
      name: picture.name,
      source,
      row: row(embeddings.query, q),
    })),
  };
}

/** Some of the items in their order, each as likely as the others. */
function sample<T>(items: readonly T[], most: number, random: () => number): T[] {
  let wanted = Math.min(most, items.length);
  return items.filter((_, i) => {
    const taken = random() * (items.length - i) < wanted;
    if (taken) wanted--;
    return taken;
  });
}

function intoFrame(points: readonly (readonly number[])[]): [number, number][] {
  const axis = (k: 0 | 1, length: number) => {
    const values = points.map((point) => point[k]!);
    const [low, high] = [Math.min(...values), Math.max(...values)];
    return (value: number) => MARGIN + (value - low) / (high - low || 1) * (length - 2 * MARGIN);
  };
  const [x, y] = [axis(0, WIDTH), axis(1, HEIGHT)];
  return points.map((point) => [x(point[0]!), y(point[1]!)]);
}
