import assert from "node:assert/strict";
import { AUGMENT_DEFAULTS } from "../../data/augment_settings.ts";
import { pairJobs } from "../../data/pair_jobs.ts";

Deno.test("pairJobs() tells the query's altitude to the query alone: a map has none", () => {
  const picture = (name: string) => ({ root: "/d", folder: "", name });
  const pair = {
    ...{ query: picture("q"), reference: picture("r"), weight: 1, source: "visloc" },
    ...{ entry: 0, altitudeMeters: 400, duplicateId: 0 },
  };
  const jobsOf = pairJobs({ pairs: [pair], imgSize: 16, seed: 1, augment: AUGMENT_DEFAULTS });
  const altitudes = jobsOf(0, 0).map(({ sample }) => sample!.altitudeMeters);
  assert.deepEqual(altitudes, [400, null]);
});
