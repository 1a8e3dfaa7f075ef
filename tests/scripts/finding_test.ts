import assert from "node:assert/strict";
import { bytes, check, findingLine } from "../../scripts/finding.ts";

Deno.test("findingLine() says state, name, what was found and what to do", () => {
  const found = "7 GiB";
  assert.equal(findingLine({ name: "disk", state: "ok", found }), "OK    disk      7 GiB");
  const line = findingLine({ name: "disk", state: "bad", found, todo: "free some" });
  assert.equal(line, "BAD   disk      7 GiB: free some");
});

Deno.test("check() makes a finding of an error: bad if training needs what was looked at", async () => {
  const fail = () => {
    throw new Error("It broke");
  };
  assert.deepEqual(await check("disk", fail), { name: "disk", state: "note", found: "It broke" });
  assert.deepEqual(await check("speed", fail, { todo: "repair it" }), {
    name: "speed",
    state: "bad",
    found: "It broke",
    todo: "repair it",
  });
  const finding = { name: "disk", state: "ok", found: "much" } as const;
  assert.equal(await check("disk", () => finding), finding);
});

Deno.test("bytes() takes the largest unit that leaves at least 1", () => {
  const words = [0, 1, 1023, 1024, 1536, 2 ** 27, 2 ** 31 - 1, 5 * 2 ** 50].map(bytes);
  assert.deepEqual(
    words,
    ["0 B", "1 B", "1020 B", "1 KiB", "1.5 KiB", "128 MiB", "2 GiB", "5120 TiB"],
  );
});
