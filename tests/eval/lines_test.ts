import assert from "node:assert/strict";
import type { Metrics } from "../../eval/evaluate.ts";
import { resultLines } from "../../eval/lines.ts";

const METRICS: Metrics = {
  eval_mode: "pos_semipos",
  queries: 2091,
  skipped: 12,
  gallery: 8884,
  "R@1": 47.2341,
  "R@5": 65.18,
  "R@10": 72.449,
  "R@1%": 98.7,
  "R@1%_floor": 98.6,
  AP: 50,
  AP_trapezoid: 40.125,
  hit_rate: 60,
  "SDM@1": 0.56654,
  "SDM@3": 0.5,
  "SDM@5": 0.25,
  "Dis@1": 1079.12,
  "Dis@3": 10,
  "Dis@5": 20.06,
  unmeasured: 3,
  "R@1_within_25m": 10,
  "R@5_within_25m": 20,
  "R@10_within_25m": 30,
};

Deno.test("resultLines() prints recall of all sources, then the rest, then recall by distance", () => {
  const empty: Metrics = {
    ...METRICS,
    ...{ queries: 0, "R@1": null, "R@5": null, "R@10": null },
  };
  assert.deepEqual(resultLines({ overall: METRICS, visloc: empty }, [25]), [
    "[OVERALL] Queries: 2091, R@1: 47.23%, R@5: 65.18%, R@10: 72.45%",
    "[VISLOC] Queries: 0, R@1: n/a, R@5: n/a, R@10: n/a",
    ...["OVERALL", "VISLOC"].flatMap((source) => [
      `[${source}] R@1%: 98.70%, R@1% (floor): 98.60%, AP: 50.00%, AP (trapezoid): 40.13%, ` +
      "hit rate: 60.00%, skipped: 12, gallery: 8884, eval mode: pos_semipos",
      `[${source}] SDM@1: 0.5665, SDM@3: 0.5000, SDM@5: 0.2500, ` +
      "Dis@1: 1079.1 m, Dis@3: 10.0 m, Dis@5: 20.1 m, unmeasured: 3",
    ]),
    "[OVERALL] Within 25 m: R@1: 10.00%, R@5: 20.00%, R@10: 30.00%",
    "[VISLOC] Within 25 m: R@1: 10.00%, R@5: 20.00%, R@10: 30.00%",
  ]);
});
