import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";

Deno.test("mod.ts exports every type that its exports mention", async () => {
  const { stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["doc", "--lint", fileURLToPath(new URL("../mod.ts", import.meta.url))],
    env: { NO_COLOR: "1" },
  }).output();
  const found = new TextDecoder().decode(stderr);
  assert.match(found, /documentation lint error|^Checked \d+ file/m); // it came to an end
  assert.deepEqual(found.split("\n").filter((line) => line.includes("[private-type-ref]")), []);
});
