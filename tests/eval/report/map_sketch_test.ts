import assert from "node:assert/strict";
import type { Location } from "../../../data/pairs.ts";
import { distanceMetres } from "../../../data/geo.ts";
import { mapSketch, type Places } from "../../../eval/report/map_sketch.ts";
import { assertClose } from "../../testing.ts";

const plane = (x: number, y: number): Location => ({ unit: "metres", x, y });
const globe = (lat: number, lon: number): Location => ({ unit: "degrees", lat, lon });

/** Centres of the circles of a class, and px a metre by the scale bar. */
function sketch(places: Partial<Places> & { query: Location }) {
  const { text } = mapSketch({ truth: [], answers: [], gallery: [], ...places });
  const circles = (kind: string) =>
    [...text.matchAll(/<circle class="(\w+)" cx="(.+?)" cy="(.+?)"/g)]
      .filter(([, name]) => name === kind).map(([, , x, y]) => [Number(x), Number(y)] as const);
  const [, x, y] = /class="query" d="M(\S+) (\S+)m/.exec(text)!;
  const bar = Number(/class="bar" d="M\S+ \S+h(\S+)v/.exec(text)![1]);
  const [, length, unit] = /y="127">([\d.]+) (k?m)</.exec(text)!;
  const scale = bar / (Number(length) * (unit === "km" ? 1000 : 1));
  return { text, circles, query: [Number(x), Number(y)] as const, scale, bar };
}

Deno.test("mapSketch() draws to the scale of its bar, north up", () => {
  const truth = [plane(1000, 1060), plane(980, 1000)];
  const answers = [{ location: plane(1100, 1000), verdict: "wrong" as const }];
  const { circles, query, scale, bar } = sketch({ query: plane(1000, 1000), truth, answers });
  assert.ok(bar > 10 && bar <= 48, `${bar} px`);
  // Positions and the bar are rounded to 0.1 px: 120 m are 96 px, so the bar errs by 0.05 in 40.
  const close = { atol: 0.25, rtol: 0 };
  assertClose([scale], [96 / 120], { atol: 0, rtol: 0.002 });
  const [north, west] = circles("truth");
  assertClose(north!, [query[0], query[1] - 60 * scale], close);
  assertClose(west!, [query[0] - 20 * scale, query[1]], close);
  assertClose(circles("wrong")[0]!, [query[0] + 100 * scale, query[1]], close);
});

Deno.test("mapSketch() projects degrees as the geodesic says, over the date line too", () => {
  const query = globe(60, 179.9995);
  const truth = [globe(60.001, 179.9995), globe(60, -179.9985)];
  const drawn = sketch({ query, truth });
  const lengths = drawn.circles("truth").map(([x, y]) =>
    Math.hypot(x - drawn.query[0], y - drawn.query[1]) / drawn.scale
  );
  // A sphere for the ellipsoid: 0.4 %; 0.1 px of some 96 twice.
  const expected = truth.map((location) => distanceMetres(query, location));
  assertClose(lengths, expected, { atol: 0, rtol: 0.004 + 0.003 });
  assert.ok(drawn.circles("truth")[1]![0] > drawn.query[0], "east is not to the right");
  assert.match(drawn.text, />N</);
});

Deno.test("mapSketch() leaves out what has no place, and answers and references outside", () => {
  const answers = [
    { location: globe(1, 1), verdict: "right" as const },
    { location: null, verdict: "semi" as const },
    { location: plane(9, 0), verdict: "wrong" as const },
    { location: plane(9999, 0), verdict: "wrong" as const },
  ];
  const gallery = Array.from({ length: 5000 }, (_, i) => plane(i / 100, 0));
  const { text, circles } = sketch({
    query: plane(0, 0),
    truth: [plane(10, 0), null],
    answers,
    gallery,
  });
  assert.equal(circles("truth").length, 1);
  assert.equal(circles("right").length + circles("semi").length, 0);
  assert.equal(circles("wrong").length, 1);
  const dots = circles("reference").length;
  assert.ok(dots > 100 && dots <= 300, `${dots} dots`);
  assert.doesNotMatch(text, /NaN|Infinity|undefined|>N</);
});

Deno.test("mapSketch() draws a query alone", () => {
  const { text, query } = sketch({ query: globe(47, 8) });
  assert.deepEqual(query, [66, 66]);
  assert.doesNotMatch(text, /NaN|Infinity|undefined/);
});
