import assert from "node:assert/strict";
import type { Protocol } from "../../../eval/protocol.ts";
import { projectionFigure } from "../../../eval/report/projection.ts";
import { uniform } from "../../testing.ts";

/** Queries and references that belong to source `a` or `b` in turn. */
function protocolOf(queries: number, references: number): Protocol {
  const picture = (root: string, name: string) => ({ root, folder: "", name });
  const source = (i: number) => i % 2 === 0 ? "a" : "b";
  return {
    evalMode: "pos",
    queries: Array.from({ length: queries }, (_, q) => ({
      picture: picture(source(q), `${source(q)}${q}`),
      location: null,
      source: source(q),
    })),
    gallery: Array.from({ length: references }, (_, j) => ({
      picture: picture(source(j), `${source(j)}${j}`),
      location: null,
    })),
    truths: Array.from({ length: queries }, () => ({ positives: [], semiPositives: [] })),
    skipped: new Map([["a", 0], ["b", 0]]),
    maps: null,
  };
}

/** Rows near (1, 0, 0) for `a` and near (0, 1, 0) for `b`. */
function rowsOf(count: number, seed: number): Float32Array {
  const noise = uniform(count * 3, seed);
  return noise.map((x, i) => x / 10 + (i % 3 === Math.floor(i / 3) % 2 ? 1 : 0));
}

async function draw(queries: number, references: number) {
  const protocol = protocolOf(queries, references);
  const embeddings = { dim: 3, query: rowsOf(queries, 1), gallery: rowsOf(references, 2) };
  const { text } = await projectionFigure(protocol, embeddings, 5);
  const circle = /class="(\w+)" style="--c: (.*?)"\s+cx="(.*?)"\s+cy="(.*?)".*?<title>\w+ (\w)/g;
  const circles = [...text.matchAll(circle)].map(([, side, colour, x, y, source]) => ({
    side: side!,
    colour: colour!,
    at: [Number(x), Number(y)] as const,
    source: source!,
  }));
  return { text, circles };
}

Deno.test("projectionFigure() puts what is alike together and colours it by source", async () => {
  const { text, circles } = await draw(20, 30);
  assert.equal(circles.length, 50);
  assert.equal(circles.filter(({ side }) => side === "query").length, 20);
  const colours = { a: "var(--source0)", b: "var(--source1)" };
  for (const { at: [x, y], colour, source } of circles) {
    assert.equal(colour, colours[source as "a" | "b"]);
    const nearest = circles.map((other) => ({
      source: other.source,
      distance: Math.hypot(other.at[0] - x, other.at[1] - y),
    })).sort((a, b) => a.distance - b.distance);
    assert.equal(nearest[1]!.source, source); // the first is the circle itself
    assert.ok(x >= 0 && x <= 640 && y >= 0 && y <= 600);
  }
  assert.doesNotMatch(text, /at random/);
});

Deno.test("projectionFigure() draws at most 2,000 pictures and says so", async () => {
  const { text, circles } = await draw(900, 1300);
  assert.equal(circles.length, 2000);
  assert.equal(circles.filter(({ side }) => side === "query").length, 900);
  assert.match(text, /2,000 of 2,200\s+pictures, at random/);
});

Deno.test("projectionFigure() draws one query and one reference", async () => {
  const { text, circles } = await draw(1, 1);
  assert.equal(circles.length, 2);
  assert.doesNotMatch(text, /NaN/);
});
