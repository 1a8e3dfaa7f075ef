/**
 * Headline numbers, the table of all metrics, and the configuration.
 *
 * @module
 */
import type { Metrics } from "../evaluate.ts";
import { fixed, metres, MISSING, short } from "./format.ts";
import { type Markup, markup } from "./markup.ts";
import type { EvaluationRecord, StepRecord } from "./records.ts";

/** Metrics of `overall` and of each source. */
export type BySource = Readonly<Record<string, Metrics>>;

/** Rows that share a unit. */
interface Group {
  title: string;
  /** After the point. */
  digits: number;
  rows: (readonly [name: string, key: keyof Metrics])[];
}

/** The numbers to see first. */
export function headline(run: {
  metrics: BySource | null;
  steps: readonly StepRecord[];
  evaluations: readonly EvaluationRecord[];
}): Markup {
  const { metrics, steps, evaluations } = run;
  const overall = metrics?.overall;
  const last = steps.at(-1);
  const percent = (value: number | null) => `${fixed(value, 1)} %`;
  const tiles = [
    ...(overall
      ? [
        ["R@1", percent(overall["R@1"]), bestOf(evaluations)],
        ["R@5", percent(overall["R@5"]), ""],
        ["R@10", percent(overall["R@10"]), ""],
        ["AP", percent(overall.AP), ""],
        ["Dis@1", metres(overall["Dis@1"]), "mean distance of the first"],
        ["Queries", fixed(overall.queries, 0), `among ${fixed(overall.gallery, 0)} references`],
      ]
      : []),
    ...(last
      ? [
        ["Loss", short(last.loss), `step ${fixed(last.step + 1, 0)}, epoch ${last.epoch + 1}`],
        ["Images per second", short(medianRate(steps)), "median"],
      ]
      : []),
  ];
  return markup`<ul class="tiles">${
    tiles.map(([name, value, note]) =>
      markup`<li><span>${name!}</span><b>${value!}</b><span>${note!}</span></li>`
    )
  }</ul>`;
}

function bestOf(evaluations: readonly EvaluationRecord[]): string {
  if (evaluations.length < 2) return "";
  const recall = ({ metrics }: EvaluationRecord) => metrics.overall?.["R@1"] ?? -1;
  const best = evaluations.reduce((a, b) => recall(b) > recall(a) ? b : a);
  return `best ${fixed(recall(best), 1)} after epoch ${best.epoch}`;
}

function medianRate(steps: readonly StepRecord[]): number | undefined {
  const rates = steps.flatMap(({ images_per_s }) => images_per_s ?? []).sort((a, b) => a - b);
  return rates[Math.floor(rates.length / 2)];
}

/** Every metric, a column a source. */
export function resultsTable(metrics: BySource): Markup {
  const all = Object.entries(metrics);
  const columns = all.length === 2 ? all.slice(1) : all; // of one source, `overall` is the same
  const body = groupsOf(columns[0]![1]).map(({ title, digits, rows }) =>
    markup`<tbody>
<tr class="group"><th scope="rowgroup" colspan="${columns.length + 1}">${title}</th></tr>
${
      rows.map(([name, key]) =>
        markup`<tr><th scope="row">${name}</th>${
          columns.map(([, m]) => markup`<td>${fixed(m[key] as number | null, digits)}</td>`)
        }</tr>`
      )
    }</tbody>`
  );
  return markup`<div class="scroll" tabindex="0" role="region" aria-label="Results"><table>
<thead><tr><td></td>${
    columns.map(([s]) => markup`<th scope="col" title="${s}">${s}</th>`)
  }</tr></thead>
${body}</table></div>`;
}

function groupsOf(metrics: Metrics): Group[] {
  const within = Object.keys(metrics).flatMap((key) => {
    const [, k, radius] = /^(R@\d+)_within_(.+)m$/.exec(key) ?? [];
    return k ? [[`${k} within ${radius}\u00a0m`, key as keyof Metrics] as const] : [];
  });
  return [
    {
      title: "Recall, %",
      digits: 2,
      rows: [
        ["R@1", "R@1"],
        ["R@5", "R@5"],
        ["R@10", "R@10"],
        ["R@1% (rounded)", "R@1%"],
        ["R@1% (floor)", "R@1%_floor"],
        ["Hit rate", "hit_rate"],
        ...within,
      ],
    },
    {
      title: "Average precision, %",
      digits: 2,
      rows: [["AP", "AP"], ["AP (trapezoid)", "AP_trapezoid"]],
    },
    {
      title: "Spatial distance metric, 0 to 1",
      digits: 4,
      rows: [["SDM@1", "SDM@1"], ["SDM@3", "SDM@3"], ["SDM@5", "SDM@5"]],
    },
    {
      title: "Mean distance, m",
      digits: 1,
      rows: [["Dis@1", "Dis@1"], ["Dis@3", "Dis@3"], ["Dis@5", "Dis@5"]],
    },
    {
      title: "Counts",
      digits: 0,
      rows: [
        ["Queries", "queries"],
        ["Queries without a positive", "skipped"],
        ["Queries without a distance", "unmeasured"],
        ["References", "gallery"],
      ],
    },
  ];
}

/** Settings of the run, by name. */
export function configurationSection(config: Readonly<Record<string, unknown>>): Markup | null {
  const settings = leavesOf(config);
  if (settings.length === 0) return null;
  return markup`<section id="configuration"><h2>Configuration</h2><dl>${
    settings.map(([name, value]) => markup`<div><dt>${name}</dt><dd>${value}</dd></div>`)
  }</dl></section>`;
}

/** Names such as `augment.flip.p`, and values as text. */
function leavesOf(config: Readonly<Record<string, unknown>>): [name: string, value: string][] {
  return Object.entries(config).flatMap(([name, value]): [string, string][] => {
    if (value === null || value === undefined) return [[name, MISSING]];
    if (Array.isArray(value)) return [[name, value.join(", ")]];
    if (typeof value !== "object") return [[name, String(value)]];
    return leavesOf(value as Record<string, unknown>)
      .map(([inner, text]) => [`${name}.${inner}`, text]);
  });
}
