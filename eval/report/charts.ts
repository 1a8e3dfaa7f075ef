/**
 * Line charts, drawn by Vega without a DOM.
 *
 * @module
 */
import type { AxisConfig, Mark, Spec } from "vega";
import { type Content, Markup, markup } from "./markup.ts";
import { type Point, thinOut } from "./series.ts";

/** A curve. */
export interface Series {
  name: string;
  /** CSS colour. */
  colour: string;
  points: readonly Point[];
  /** Drawn behind the others, without a name. */
  faint?: boolean;
}

/** A chart over the steps of a run. */
export interface Chart {
  /** Names the chart within the page. */
  id: string;
  title: string;
  series: readonly Series[];
  /** Writes the last value of a curve. */
  format: (value: number | null) => string;
  /** The axis starts at 0. */
  fromZero?: boolean;
}

/** Pixels at a scale of 1. Narrow, so that the smallest screens need not shrink the letters. */
const WIDTH = 296;
const HEIGHT = 170;
/** Up to so many points, each is marked. */
const MARKED = 40;

const POSITION = { x: { scale: "x", field: "x" }, y: { scale: "y", field: "y" } };
const AXIS: AxisConfig = {
  aria: false,
  tickSize: 4,
  tickColor: "var(--line)",
  domainColor: "var(--line)",
  gridColor: "var(--line)",
  labelPadding: 4,
  labelColor: "var(--muted)",
  labelFont: "inherit",
  labelFontSize: 11,
  titleColor: "var(--muted)",
  titleFont: "inherit",
  titleFontSize: 11,
  titleFontWeight: "normal",
  titlePadding: 2,
};

/** `1.5k` for 1500: on the one axis always, on the other where letters would take the room. */
const STEP_LABELS = { labels: { update: { text: { signal: "format(datum.value, '~s')" } } } };
const VALUE_LABELS = {
  labels: {
    update: {
      text: { signal: "datum.value < 10000 ? datum.label : format(datum.value, '~s')" },
    },
  },
};

/**
 * A figure with a title, the last value of each curve, and the curves.
 *
 * @param lastStep Where the axis of steps ends.
 */
export async function chartFigure(chart: Chart, lastStep: number): Promise<Markup> {
  const { id, title, series, format } = chart;
  const last = (points: readonly Point[]) => points.findLast(({ y }) => y !== null)?.y ?? null;
  const legend: Content = series.filter(({ faint }) => !faint).map(({ name, colour, points }) =>
    markup`<li class="${name && "named"}" style="--c: ${colour}">${name} <b>${
      format(last(points))
    }</b></li>`
  );
  return markup`<figure class="chart" data-chart="${id}">
<figcaption><h3>${title}</h3><ul class="legend">${legend}</ul></figcaption>
${await drawLines(chart, lastStep)}
</figure>`;
}

async function drawLines(chart: Chart, lastStep: number): Promise<Markup> {
  const vega = await import("vega"); // takes 60 ms, needed only here
  const view = new vega.View(vega.parse(specOf(chart, lastStep)), { renderer: "none" });
  try {
    const svg = await view.toSVG();
    return new Markup(
      svg
        .replace(/^<svg [^>]*?viewBox/, `<svg role="img" aria-label="${chart.title}" viewBox`)
        .replace(/ d="[^"]*"/g, (path) => path.replace(/\d+\.\d{2,}/g, (n) => (+n).toFixed(1))),
    );
  } finally {
    view.finalize();
  }
}

function specOf({ series, fromZero = false }: Chart, lastStep: number): Spec {
  const drawn = series.map(({ points }) => thinOut(points));
  const known = drawn.map((points) => points.filter(({ y }) => y !== null));
  return {
    width: WIDTH,
    height: HEIGHT,
    padding: 2,
    autosize: { type: "fit", contains: "padding" },
    config: { axis: AXIS },
    data: series.flatMap((_, i) => [
      { name: `line${i}`, values: [...drawn[i]!] },
      { name: `dots${i}`, values: known[i]!.length > MARKED ? [] : known[i]! },
    ]),
    scales: [
      { name: "x", range: "width", zero: false, domain: [0, lastStep] },
      {
        name: "y",
        range: "height",
        nice: 4,
        zero: fromZero,
        domain: extent(known.flat().map(({ y }) => y!)),
      },
    ],
    axes: [
      { scale: "x", orient: "bottom", tickCount: 4, title: "step", encode: STEP_LABELS },
      {
        scale: "y",
        orient: "left",
        tickCount: 4,
        grid: true,
        domain: false,
        ticks: false,
        encode: VALUE_LABELS,
      },
    ],
    marks: series.flatMap(({ colour, faint = false }, i): Mark[] => [
      {
        type: "line",
        aria: false,
        from: { data: `line${i}` },
        encode: {
          enter: {
            ...POSITION,
            defined: { signal: "datum.y !== null" },
            stroke: { value: colour },
            strokeWidth: { value: faint ? 1 : 2 },
            strokeOpacity: { value: faint ? 0.4 : 1 },
            strokeJoin: { value: "round" },
          },
        },
      },
      {
        type: "symbol",
        aria: false,
        from: { data: `dots${i}` },
        encode: { enter: { ...POSITION, size: { value: 24 }, fill: { value: colour } } },
      },
    ]),
  };
}

/** Lowest and highest value, apart even if all are equal. */
function extent(values: readonly number[]): [number, number] {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) [low, high] = [Math.min(low, value), Math.max(high, value)];
  if (low > high) return [0, 1];
  const half = low < high ? 0 : (Math.abs(low) || 1) / 2;
  return [low - half, high + half];
}
