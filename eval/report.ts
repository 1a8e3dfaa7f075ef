/**
 * The report of a run or an evaluation: one HTML file that needs nothing else.
 *
 * @module
 */
import type { Embeddings } from "./ranks.ts";
import { curvesSection } from "./report/curves.ts";
import { Markup, markup } from "./report/markup.ts";
import { projectionFigure } from "./report/projection.ts";
import type { EvaluationRecord, StepRecord } from "./report/records.ts";
import { type Ranked, rankingsSection } from "./report/strips.ts";
import style from "./report/style.css" with { type: "text" };
import { configurationSection, headline, resultsTable } from "./report/tables.ts";

export { type EvaluationRecord, parseMetrics, type StepRecord } from "./report/records.ts";

/** What to report. */
export interface ReportInput {
  title: string;
  /** Settings, by name. */
  config: Readonly<Record<string, unknown>>;
  /** Of `metrics.jsonl`, see {@linkcode parseMetrics}; none without training. */
  steps: readonly StepRecord[];
  evaluations: readonly EvaluationRecord[];
  /** The last evaluation with its pictures; null leaves out rankings and projection. */
  evaluation: Ranked & { embeddings: Embeddings } | null;
  /** Chooses what is drawn at random. */
  seed: number;
}

/** Nothing may be loaded and nothing may run, whatever the names of pictures hold. */
const POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; " +
  "base-uri 'none'; form-action 'none'";

/**
 * Writes a report: headline numbers, a table by source, curves, rankings, a projection of the
 * embeddings, and the configuration; parts for which there is nothing are left out.
 *
 * A picture that cannot be read becomes a box with its name. The same input gives the same text.
 *
 * @returns HTML of at most some 6 MB, most of it pictures.
 */
export async function reportHtml(input: ReportInput): Promise<string> {
  const { title, config, steps, evaluations, evaluation, seed } = input;
  const metrics = evaluation?.evaluation.metrics ?? evaluations.at(-1)?.metrics ?? null;
  const projection = evaluation &&
    await projectionFigure(evaluation.protocol, evaluation.embeddings, seed);
  const results = metrics && markup`<section id="results"><h2>Results</h2>
<div class="pair"><div>${resultsTable(metrics)}</div>${projection}</div></section>`;
  const curves = await curvesSection(steps, evaluations);
  const rankings = evaluation && await rankingsSection(evaluation, seed);
  const configuration = configurationSection(config);
  const links = Object.entries({ results, curves, rankings, configuration })
    .filter(([, section]) => section !== null)
    .map(([id]) => markup`<a href="#${id}">${id}</a>`);

  return markup`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<link rel="icon" href="data:,">
<style>${new Markup(style)}</style>
</head>
<body>
<header><h1>${title}</h1><nav>${links}</nav></header>
<main>
${headline({ metrics, steps, evaluations })}
${results}
${curves}
${rankings}
${configuration}
</main>
</body>
</html>
`.text;
}
