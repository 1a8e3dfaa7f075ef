import assert from "node:assert/strict";
import { join } from "node:path";
import sharp from "sharp";
import type { Location, Picture } from "../../data/pairs.ts";
import { evaluate } from "../../eval/evaluate.ts";
import type { Protocol } from "../../eval/protocol.ts";
import { parseMetrics, reportHtml, type ReportInput } from "../../eval/report.ts";
import type { Ranked } from "../../eval/report/strips.ts";
import type { Embeddings } from "../../eval/ranks.ts";
import { uniform, unitRows } from "../testing.ts";
import { CHROMIUM, lookAt } from "./chromium.ts";

/** Names that end attributes and tags, would run a script, turn the text around, or are long. */
const NASTY = [
  `"><img src=x onerror="window.pwned=1">'&amp;.png`,
  "</title></style><script>window.pwned=1</script>",
  "München 北京 \u202eabc.png",
  "x".repeat(200),
] as const;
const DIM = 16;
const QUERIES = 14;
const GALLERY = 12;
const STEPS = 2500;
const NOTHING: ReportInput = {
  title: "t",
  config: {},
  steps: [],
  evaluations: [],
  evaluation: null,
  seed: 0,
};
const STEP_CHARTS = ["loss", "lr", "logit_scale", "grad_norm", "images_per_s"];

/** An evaluation of three sources on pictures in a folder: noise, the worst that JPEG can get. */
async function evaluationIn(
  root: string,
): Promise<Ranked & { embeddings: Embeddings }> {
  const picture = async (name: string, i: number): Promise<Picture> => {
    const [width, height] = [320, 240];
    const pixels = uniform(width * height * 3, i + 1).map((x) => 127.5 + 127.5 * x);
    await sharp(Uint8Array.from(pixels), { raw: { width, height, channels: 3 } })
      .jpeg().toFile(join(root, name));
    return { root, folder: "", name };
  };
  const at = (i: number): Location => ({ unit: "degrees", lat: 50 + i * 1e-4, lon: 7 + i * 2e-4 });
  const sources = ["gta", NASTY[0], NASTY[3]];
  const queries: Protocol["queries"] = [];
  for (let q = 0; q < QUERIES; q++) {
    const name = q === 0 ? NASTY[0] : q === 1 ? NASTY[2] : `query ${q}.jpg`;
    const source = sources[q % sources.length]!;
    queries.push({ picture: await picture(name, q), location: at(q), source });
  }
  queries[2]!.picture = { root, folder: "", name: NASTY[1] }; // is not there
  queries[3]!.location = null;
  const gallery: Protocol["gallery"] = [];
  for (let j = 0; j < GALLERY; j++) {
    const name = j === 0 ? `tile ${NASTY[0]}` : `tile ${j}.jpg`;
    gallery.push({ picture: await picture(name, 100 + j), location: at(j + 0.5) });
  }
  await Deno.writeTextFile(join(root, "tile 11.jpg"), "no picture");
  const protocol: Protocol = {
    evalMode: "pos",
    queries,
    gallery,
    truths: queries.map((_, q) => ({ positives: [q % GALLERY], semiPositives: [] })),
    skipped: new Map(sources.map((source) => [source, 0])),
    maps: null,
  };
  const query = unitRows(QUERIES, DIM, 1);
  const embeddings = { dim: DIM, query, gallery: unitRows(GALLERY, DIM, 2) };
  const evaluation = await evaluate({ protocol, embeddings, radii: [25] });
  return { protocol, embeddings, evaluation };
}

function stepsOf(count: number): ReportInput["steps"] {
  const noise = uniform(count, 3);
  return Array.from({ length: count }, (_, step) => ({
    step,
    epoch: Math.floor(step / 1000),
    loss: 2 + noise[step]!,
    lr: 3e-4 * (1 + noise[step]!),
    logit_scale: 14 + noise[step]!,
    grad_norm: 1 + noise[step]!,
    images_per_s: 400 + noise[step]!,
  }));
}

async function inFolder(fn: (folder: string) => Promise<void>) {
  const folder = await Deno.makeTempDir();
  try {
    await fn(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

async function fullReport(folder: string): Promise<ReportInput> {
  const evaluation = await evaluationIn(folder);
  return {
    title: `run ${NASTY[1]}`,
    config: { model: NASTY[0], [NASTY[1]]: { nested: NASTY[2] }, [NASTY[3]]: NASTY[3] },
    steps: stepsOf(STEPS),
    evaluations: [0, 1000, 2000].map((step, epoch) => ({
      step,
      epoch,
      metrics: evaluation.evaluation.metrics,
    })),
    evaluation,
    seed: 42,
  };
}

/** What {@linkcode Page.answers} should be for a query. */
function answersOf({ evaluation }: ReportInput, name: string): string[] {
  const { protocol, evaluation: { rankings, distances } } = evaluation!;
  const q = protocol.queries.findIndex(({ picture }) => picture.name === name);
  const { top, topScores } = rankings[q]!;
  return top.map((j, i) => {
    const verdict = protocol.truths[q]!.positives.includes(j) ? "right ✓" : "wrong ✕";
    const distance = distances[q]?.[i];
    const place = distance === undefined ? "" : ` ${distance.toFixed(distance < 9.95 ? 1 : 0)} m`;
    return `${verdict} ${topScores[i]!.toFixed(3).replace("-0.000", "0.000")}${place}`;
  });
}

/** What {@linkcode PROBE} gives. */
interface Page {
  overflow: number;
  images: number;
  loaded: number;
  missing: number;
  scripts: number;
  handlers: number;
  pwned: boolean;
  title: string;
  names: string[];
  sources: string[];
  settings: string[];
  /** Cells of the table, by row. */
  rows: Record<string, string[]>;
  /** Class, score and distance of each answer, by strip. */
  answers: string[][];
  /** Points of each curve, by chart. */
  points: Record<string, number[]>;
  dots: Record<string, number>;
  maps: number;
  places: number;
  /** Height of the smallest letters, px. */
  smallest: number;
}

const PROBE = `(window) => {
  const { document } = window;
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const texts = (selector) => all(selector).map((element) => element.textContent);
  const { scrollWidth, clientWidth } = document.documentElement;
  const charts = (count) =>
    Object.fromEntries(all(".chart").map((chart) => [chart.dataset.chart, count(chart)]));
  const letters = (element) => {
    const svg = element.closest("svg");
    const scale = svg ? svg.getBoundingClientRect().width / svg.viewBox.baseVal.width : 1;
    return scale * parseFloat(window.getComputedStyle(element).fontSize);
  };
  const written = all("body *").filter((element) =>
    element.tagName !== "title" &&
    [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim() !== ""));
  return {
    overflow: scrollWidth - clientWidth,
    images: document.images.length,
    loaded: [...document.images].filter((image) => image.complete && image.naturalWidth > 0).length,
    missing: all(".missing").length,
    scripts: document.scripts.length,
    handlers: all("*").filter((element) =>
      [...element.attributes].some(({ name }) => name.startsWith("on"))).length,
    pwned: "pwned" in window,
    title: document.title,
    names: texts(".name"),
    sources: texts("thead th"),
    settings: texts("dt, dd"),
    rows: Object.fromEntries(all("tbody tr").map((row) =>
      [row.cells[0].textContent, [...row.cells].slice(1).map((cell) => cell.textContent)])),
    answers: all(".strip").map((strip) => all("li", strip).map((answer) =>
      [answer.className, ...all("span", answer).map((span) => span.textContent)].join(" "))),
    points: charts((chart) => all(".mark-line path", chart)
      .map((path) => (path.getAttribute("d").match(/[ML]/g) ?? []).length)),
    dots: charts((chart) => all(".mark-symbol path", chart).length),
    maps: all("svg.map").length,
    places: all(".projection circle").length,
    smallest: Math.min(...written.map(letters)),
  };
}`;

Deno.test({
  name: "reportHtml() reads well in Chromium at 1280 and 400 px, whatever pictures are called",
  ignore: CHROMIUM === null,
  fn: () =>
    inFolder(async (folder) => {
      const input = await fullReport(folder);
      const path = join(folder, "report.html");
      await Deno.writeTextFile(path, await reportHtml(input));
      const { protocol, evaluation } = input.evaluation!;
      const names = protocol.queries.map(({ picture }) => picture.name);
      const unreadable = (shown: string[]) =>
        shown.filter((name) => name === NASTY[1]).length +
        shown.filter((name) => evaluation.rankings[names.indexOf(name)]!.top.includes(11)).length;
      const { console, pages } = await lookAt<Page>(path, [1280, 400], PROBE);

      assert.deepEqual(console, []);
      for (const page of pages) {
        assert.equal(page.overflow, 0);
        assert.equal(page.images + page.missing, 12 * 11); // queries, each with 10 references
        assert.equal(page.missing, unreadable(page.names));
        assert.equal(page.loaded, page.images);
        assert.equal(page.scripts, 0);
        assert.equal(page.handlers, 0);
        assert.equal(page.pwned, false);
        assert.ok(page.smallest >= 10, `smallest letters are ${page.smallest} px`);

        assert.equal(page.title, input.title);
        assert.equal(new Set(page.names).size, 12);
        assert.ok(page.names.every((name) => names.includes(name)));
        assert.deepEqual(page.sources, ["overall", "gta", NASTY[0], NASTY[3]]);
        assert.deepEqual(page.settings, [
          ...["model", NASTY[0], `${NASTY[1]}.nested`, NASTY[2]],
          ...[NASTY[3], NASTY[3]],
        ]);

        const columns = Object.values(evaluation.metrics);
        assert.deepEqual(page.rows["R@5"], columns.map((m) => m["R@5"]!.toFixed(2)));
        assert.deepEqual(page.rows["Dis@3"], columns.map((m) => m["Dis@3"]!.toFixed(1)));
        assert.deepEqual(page.rows.Queries, columns.map((m) => `${m.queries}`));
        assert.deepEqual(page.answers, page.names.map((name) => answersOf(input, name)));

        for (const id of STEP_CHARTS) assert.equal(page.points[id]![0], 1000, id);
        assert.equal(page.points.loss!.length, 2); // with its mean
        assert.deepEqual(page.points.recall, [3, 3, 3]);
        assert.deepEqual(page.points.recall_by_source, [3, 3, 3]);
        assert.equal(page.dots.recall, 9);
        assert.deepEqual(page.points.distance, [3, 3, 3]);
        assert.equal(page.maps, 12 - (page.names.includes("query 3.jpg") ? 1 : 0));
        assert.equal(page.places, QUERIES + GALLERY);
      }
    }),
});

Deno.test({
  name: "lookAt() hears what the console says and sees what is missing",
  ignore: CHROMIUM === null,
  fn: () =>
    inFolder(async (folder) => {
      const path = join(folder, "page.html");
      await Deno.writeTextFile(
        path,
        `<!doctype html><img src="none.png"><div style="width: 500px; height: 9px"></div><script>console.error("loud")</script>`,
      );
      const look = await lookAt<Page>(path, [400], PROBE);
      assert.equal(look.console.length, 1);
      assert.match(look.console[0]!, /loud/);
      const [page] = look.pages;
      assert.deepEqual([page!.images, page!.loaded, page!.scripts], [1, 0, 1]);
      assert.equal(page!.overflow, 108); // px: 8 + 500 in 400
    }),
});

Deno.test({
  name: "reportHtml() forbids what gets into it to run",
  ignore: CHROMIUM === null,
  fn: () =>
    inFolder(async (folder) => {
      const path = join(folder, "report.html");
      await Deno.writeTextFile(path, await reportHtml(NOTHING));
      const injected = `({ document }) => {
        const script = document.createElement("script");
        script.textContent = "document.title = 'ran'";
        document.body.append(script);
        return document.title;
      }`;
      const { console, pages } = await lookAt(path, [400], injected);
      assert.deepEqual(pages, [NOTHING.title]);
      assert.match(console.join(), /Content Security Policy/);
    }),
});

Deno.test("reportHtml() gives one file that loads nothing, the same each time", () =>
  inFolder(async (folder) => {
    const input = await fullReport(folder);
    const html = await reportHtml(input);
    assert.equal(await reportHtml(input), html);
    assert.notEqual(await reportHtml({ ...input, seed: 43 }), html);
    // A megabyte is 10^6 characters: the names that are not ASCII are few.
    assert.ok(html.length < 6e6, `${html.length} characters`);
    const links = [...html.matchAll(/\s(?:src|href|srcset|action|xlink:href)="([^"]{0,30})/g)];
    assert.ok(links.length > 100);
    assert.deepEqual(links.filter(([, to]) => !/^(data:|#)/.test(to!)), []);
    assert.doesNotMatch(html.replaceAll(/base64,[^"]*/g, ""), /https?:|url\(|@import/);
  }));

Deno.test("reportHtml() shows nothing but what there is", async () => {
  const sections = (html: string) => [...html.matchAll(/<section id="(\w+)"/g)].map(([, id]) => id);
  assert.deepEqual(sections(await reportHtml(NOTHING)), []);

  const [first, second, third] = stepsOf(3);
  const gap = { step: 1, epoch: 0, loss: null, lr: second!.lr, logit_scale: null };
  const html = await reportHtml({ ...NOTHING, config: { k: 5 }, steps: [first!, gap, third!] });
  assert.deepEqual(sections(html), ["curves", "configuration"]);
  const charts = [...html.matchAll(/data-chart="(\w+)"/g)].map(([, id]) => id);
  assert.deepEqual(charts, STEP_CHARTS);
  const loss = /data-chart="loss".*?mark-line.*?d="([^"]*)"/s.exec(html)![1]!;
  assert.equal(loss.match(/[ML]/g)?.length, 2); // a gap is no point
});

Deno.test("parseMetrics() tells steps from evaluations and leaves out half a line at the end", () => {
  const step = { step: 0, epoch: 0, loss: 1, lr: 1e-4, logit_scale: 14 };
  const evaluation = { step: 1, epoch: 1, metrics: {} };
  const text = [step, evaluation, { ...step, step: 1, loss: null }].map((r) => JSON.stringify(r));
  const expected = { steps: [step, { ...step, step: 1, loss: null }], evaluations: [evaluation] };
  assert.deepEqual(parseMetrics(text.join("\n") + "\n"), expected);
  assert.deepEqual(parseMetrics(text.join("\n") + '\n{"step": 2, "lo'), expected);
  assert.deepEqual(parseMetrics(""), { steps: [], evaluations: [] });
  assert.throws(() => parseMetrics('{"step": 0, "lo\n' + text[0]), {
    name: "SyntaxError",
    message: "Cannot parse metrics: line 1 is not JSON",
  });
  for (const line of ["{}", "3", "null", '{"loss": 1}', '{"step": "0", "loss": 1}']) {
    assert.throws(() => parseMetrics(line), { name: "TypeError", message: /line 1 is / });
  }
});

Deno.test("style.css has enough contrast, bright and dark", async () => {
  const css = await Deno.readTextFile(new URL("../../eval/report/style.css", import.meta.url));
  const [bright, dark] = [...css.matchAll(/:root \{([^}]*)\}/g)].map(([, body]) =>
    new Map([...body!.matchAll(/--(\w+): (#\w+);/g)].map(([, name, hex]) => [name!, hex!]))
  );
  const luminance = (hex: string) => {
    const digits = hex.length === 4 ? [...hex.slice(1)].map((d) => d + d).join("") : hex.slice(1);
    const [r, g, b] = [0, 2, 4].map((i) => {
      const c = parseInt(digits.slice(i, i + 2), 16) / 255;
      return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
  };
  for (const colours of [bright!, dark!]) {
    assert.equal(colours.size, 17);
    for (const [name, colour] of colours) {
      if (["paper", "sunken", "line"].includes(name)) continue;
      for (const ground of ["paper", "sunken"]) {
        const [a, b] = [luminance(colour), luminance(colours.get(ground)!)];
        const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
        // WCAG 2.2: 4.5 for letters, 3 for lines and dots.
        const least = /source|recall/.test(name) ? 3 : 4.5;
        assert.ok(contrast >= least, `${name} on ${ground}: ${contrast.toFixed(2)}`);
      }
    }
  }
});
