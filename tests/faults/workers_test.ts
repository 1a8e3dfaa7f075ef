import assert from "node:assert/strict";
import { join } from "node:path";
import { GPU_OFF } from "../testing.ts";
import { faultFlags, train, withWorld } from "./runs.ts";

Deno.test({
  name: "train starts its decoding threads once, for all epochs and evaluations", // Deno leaks them
  ignore: GPU_OFF,
  fn: () =>
    withWorld(async (folder) => {
      const flags = [...faultFlags(folder, join(folder, "runs")), "--num_workers", "2"];
      const stderr = await train([...flags, "--max_steps", "12"], {
        preload: ["counted_workers.ts"],
      });
      assert.equal(stderr.match(/^embed .* 72\/72 /gm)?.length, 2, stderr); // evaluations
      assert.match(stderr, /^workers started: 2$/m);
    }),
});
