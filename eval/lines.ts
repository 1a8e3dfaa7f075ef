/**
 * Result lines, as people grep for them.
 *
 * @module
 */
import type { Metrics } from "./evaluate.ts";

/**
 * Lines of an evaluation: one a source with recall, then a second block with everything else, and a
 * third with recall by distance if radii were asked for.
 *
 *     [OVERALL] Queries: 2091, R@1: 47.23%, R@5: 65.18%, R@10: 72.45%
 *     [VISLOC] Queries: 738, R@1: 40.11%, R@5: 60.03%, R@10: 68.97%
 *
 * @param metrics By source; names are printed in upper case.
 * @param radii Metres, as given to `evaluate`.
 */
export function resultLines(
  metrics: Readonly<Record<string, Metrics>>,
  radii: readonly number[] = [],
): string[] {
  const sources = Object.entries(metrics);
  return [
    ...sources.map(([source, m]) =>
      `${tag(source)} Queries: ${m.queries}, R@1: ${percent(m["R@1"])}, ` +
      `R@5: ${percent(m["R@5"])}, R@10: ${percent(m["R@10"])}`
    ),
    ...sources.flatMap(([source, m]) => [
      `${tag(source)} R@1%: ${percent(m["R@1%"])}, R@1% (floor): ${percent(m["R@1%_floor"])}, ` +
      `AP: ${percent(m.AP)}, AP (trapezoid): ${percent(m.AP_trapezoid)}, ` +
      `hit rate: ${percent(m.hit_rate)}, skipped: ${m.skipped}, gallery: ${m.gallery}, ` +
      `eval mode: ${m.eval_mode}`,
      `${tag(source)} SDM@1: ${fixed(m["SDM@1"], 4)}, SDM@3: ${fixed(m["SDM@3"], 4)}, ` +
      `SDM@5: ${fixed(m["SDM@5"], 4)}, Dis@1: ${fixed(m["Dis@1"], 1, " m")}, ` +
      `Dis@3: ${fixed(m["Dis@3"], 1, " m")}, Dis@5: ${fixed(m["Dis@5"], 1, " m")}, ` +
      `unmeasured: ${m.unmeasured}`,
    ]),
    ...radii.flatMap((radius) =>
      sources.map(([source, m]) => {
        const [r1, r5, r10] = [1, 5, 10].map((k) => percent(m[`R@${k}_within_${radius}m`] ?? null));
        return `${tag(source)} Within ${radius} m: R@1: ${r1}, R@5: ${r5}, R@10: ${r10}`;
      })
    ),
  ];
}

function tag(source: string): string {
  return `[${source.toUpperCase()}]`;
}

function percent(value: number | null): string {
  return fixed(value, 2, "%");
}

function fixed(value: number | null, digits: number, unit = ""): string {
  return value === null ? "n/a" : value.toFixed(digits) + unit;
}
