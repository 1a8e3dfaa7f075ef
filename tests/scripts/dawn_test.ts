import assert from "node:assert/strict";
import { join } from "node:path";
import { runTask } from "./command.ts";
import { tinyFlags, writeTinyWorld } from "./tiny_world.ts";

Deno.test({
  name: "train --gpu dawn trains with the permissions of its task",
  ignore: Deno.env.get("GPU") !== "dawn",
  fn: async () => {
    const folder = await Deno.makeTempDir();
    try {
      await writeTinyWorld(folder, 6);
      const flags = [...tinyFlags(folder), "--depth", "1", "--max_steps", "2", "--gpu", "dawn"];
      const { code, stderr } = await runTask("train", flags);
      assert.equal(code, 0, stderr);
      assert.match(stderr, new RegExp(`finished: ${join(folder, "runs")}`));
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});
