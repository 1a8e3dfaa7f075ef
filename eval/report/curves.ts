/**
 * Curves of a run: loss, recall, distance, learning rate, temperature, gradients, throughput.
 *
 * @module
 */
import type { Metrics } from "../evaluate.ts";
import { type Chart, chartFigure, type Series } from "./charts.ts";
import { sourceColours } from "./colours.ts";
import { fixed, metres, short } from "./format.ts";
import { type Content, type Markup, markup } from "./markup.ts";
import type { EvaluationRecord, StepRecord } from "./records.ts";
import { MAX_POINTS, movingMean, type Point } from "./series.ts";

const INK = "var(--ink)";
const SMOOTH_OVER = 100; // steps: below that a curve shows more by itself

/** Charts of all that a run has recorded; null if that is nothing. */
export async function curvesSection(
  steps: readonly StepRecord[],
  evaluations: readonly EvaluationRecord[],
): Promise<Markup | null> {
  const charts = [...recallCharts(evaluations), ...stepCharts(steps)]
    .filter(({ series }) => series.some(({ points }) => points.some(({ y }) => y !== null)));
  if (charts.length === 0) return null;
  const lastStep = Math.max(steps.at(-1)?.step ?? 0, evaluations.at(-1)?.step ?? 0, 1);
  const figures: Content[] = [];
  for (const chart of charts) figures.push(await chartFigure(chart, lastStep));
  return markup`<section id="curves"><h2>Curves</h2>
<div class="charts">${figures}</div>
${
    steps.length > MAX_POINTS
      ? markup`<p class="note">Of ${
        fixed(steps.length, 0)
      } steps, the lowest and highest value of each ${
        Math.ceil(2 * steps.length / MAX_POINTS)
      } are drawn.</p>`
      : null
  }</section>`;
}

function stepCharts(steps: readonly StepRecord[]): Chart[] {
  const pointsOf = (key: keyof StepRecord): Point[] =>
    steps.map((record) => ({ x: record.step, y: record[key] ?? null }));
  const plain = (key: keyof StepRecord): Series[] => [
    { name: "", colour: INK, points: pointsOf(key) },
  ];
  return [
    { id: "loss", title: "Loss", series: smoothed(pointsOf("loss")), format: short },
    { id: "lr", title: "Learning rate", series: plain("lr"), format: short, fromZero: true },
    { id: "logit_scale", title: "Logit scale", series: plain("logit_scale"), format: short },
    {
      id: "grad_norm",
      title: "Gradient norm",
      series: smoothed(pointsOf("grad_norm")),
      format: short,
      fromZero: true,
    },
    {
      id: "images_per_s",
      title: "Images per second",
      series: plain("images_per_s"),
      format: short,
      fromZero: true,
    },
  ];
}

function smoothed(points: Point[]): Series[] {
  if (points.length < SMOOTH_OVER) return [{ name: "", colour: INK, points }];
  const window = Math.round(points.length / 50);
  return [
    { name: "", colour: INK, points, faint: true },
    { name: `mean of ${window} steps`, colour: INK, points: movingMean(points, window) },
  ];
}

function recallCharts(evaluations: readonly EvaluationRecord[]): Chart[] {
  const sources = Object.keys(evaluations.at(-1)?.metrics ?? {}).filter((s) => s !== "overall");
  const colours = sourceColours(sources);
  const pointsOf = (source: string, key: keyof Metrics): Point[] =>
    evaluations.map(({ step, metrics }) => ({
      x: step,
      y: (metrics[source]?.[key] ?? null) as number | null,
    }));
  const bySource = (key: keyof Metrics): Series[] =>
    sources.map((source) => ({
      name: source,
      colour: colours.get(source)!,
      points: pointsOf(source, key),
    }));
  const percent = (value: number | null) => fixed(value, 1);
  return [
    {
      id: "recall",
      title: "Recall, %",
      series: (["R@1", "R@5", "R@10"] as const).map((key, i) => ({
        name: key,
        colour: `var(--recall${i})`,
        points: pointsOf("overall", key),
      })),
      format: percent,
      fromZero: true,
    },
    {
      id: "recall_by_source",
      title: "R@1 by source, %",
      series: sources.length > 1 ? bySource("R@1") : [],
      format: percent,
      fromZero: true,
    },
    {
      id: "distance",
      title: "Dis@1, m",
      series: bySource("Dis@1"),
      format: metres,
      fromZero: true,
    },
  ];
}
