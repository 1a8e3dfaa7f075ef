import assert from "node:assert/strict";
import type { Location } from "../../data/pairs.ts";
import { evaluate } from "../../eval/evaluate.ts";
import { predictionsOf } from "../../eval/predictions.ts";
import type { Protocol } from "../../eval/protocol.ts";

const at = (x: number): Location => ({ unit: "metres", x, y: 0 });

Deno.test("predictionsOf() has ranks from 1, and distances where there are two places", async () => {
  const item = (folder: string, name: string, location: Location | null) => ({
    picture: { root: "data", folder, name },
    location,
  });
  const protocol: Protocol = {
    evalMode: "pos",
    queries: [
      { ...item("drone", "a.jpg", at(0)), source: "one" },
      { ...item("drone", "b.jpg", null), source: "two" },
      { ...item("drone", "c.jpg", at(0)), source: "two" },
    ],
    gallery: [
      item("map", "0.png", at(30)),
      item("map", "1.png", null),
      item("map", "2.png", at(-40)),
    ],
    truths: [
      { positives: [0], semiPositives: [2] },
      { positives: [1], semiPositives: [] },
      { positives: [], semiPositives: [] },
    ],
    skipped: new Map([["one", 0], ["two", 0]]),
    maps: null,
  };
  const embeddings = {
    query: Float32Array.of(1, 0, 0, 1, 1, 0),
    gallery: Float32Array.of(0.5, 0.25, 0.25, 0.5, 1, 0),
    dim: 2,
  };
  const predictions = predictionsOf(protocol, await evaluate({ protocol, embeddings }));
  const [zero, one, two] = [
    { reference: "map/0.png", location: at(30) },
    { reference: "map/1.png", location: null },
    { reference: "map/2.png", location: at(-40) },
  ];
  assert.deepEqual(predictions, [
    {
      query: "drone/a.jpg",
      source: "one",
      location: at(0),
      rank: 2,
      top: [
        { ...two, score: 1, verdict: "semi", metres: 40 },
        { ...zero, score: 0.5, verdict: "right", metres: 30 },
        { ...one, score: 0.25, verdict: "wrong", metres: null },
      ],
    },
    {
      query: "drone/b.jpg",
      source: "two",
      location: null,
      rank: 1,
      top: [
        { ...one, score: 0.5, verdict: "right", metres: null },
        { ...zero, score: 0.25, verdict: "wrong", metres: null },
        { ...two, score: 0, verdict: "wrong", metres: null },
      ],
    },
    {
      query: "drone/c.jpg",
      source: "two",
      location: at(0),
      rank: null,
      top: [
        { ...two, score: 1, verdict: "wrong", metres: 40 },
        { ...zero, score: 0.5, verdict: "wrong", metres: 30 },
        { ...one, score: 0.25, verdict: "wrong", metres: null },
      ],
    },
  ]);
});
