import assert from "node:assert/strict";
import { basename, join } from "node:path";
import project from "../../deno.json" with { type: "json" };
import { keepLayouts, layoutsFile, readLayouts } from "../../scripts/layouts.ts";

async function withFolder(work: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    await work(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("keepLayouts() adds to what other runs have found, readLayouts() gives all of it", () =>
  withFolder(async (folder) => {
    const file = join(folder, "new", "layouts.json");
    assert.deepEqual(await readLayouts("quick", file), new Map());
    await keepLayouts(new Map([["b", "tile"], ["a", "subgroup"]]), file);
    await keepLayouts(new Map([["b", "wide"]]), file);
    assert.deepEqual([...await readLayouts("quick", file)], [["a", "subgroup"], ["b", "wide"]]);
    assert.deepEqual(await readLayouts("full", file), new Map());
    assert.deepEqual(await readLayouts("off", file), new Map());
  }));

Deno.test("layoutsFile() is another for another version, whose kernels are others", () => {
  assert.equal(basename(layoutsFile()), `layouts-${project.version}.json`);
});

Deno.test("readLayouts() knows nothing from a damaged file", () =>
  withFolder(async (folder) => {
    const file = join(folder, "layouts.json");
    for (const text of ["{", "null", "3", '[["a", "b"]]', "\0"]) {
      await Deno.writeTextFile(file, text);
      assert.deepEqual(await readLayouts("quick", file), new Map(), text);
    }
    await Deno.writeTextFile(file, '{"a": 1, "b": "tile"}');
    assert.deepEqual([...await readLayouts("quick", file)], [["b", "tile"]]);
  }));

Deno.test("keepLayouts() warns where the cache cannot be written, and writes nothing new unasked", () =>
  withFolder(async (folder) => {
    const file = join(folder, "layouts.json");
    await keepLayouts(new Map(), file);
    await assert.rejects(Deno.stat(file), Deno.errors.NotFound);

    await Deno.writeTextFile(join(folder, "blocked"), "");
    const { writeSync } = Deno.stderr;
    const lines: string[] = [];
    Deno.stderr.writeSync = (line) => lines.push(new TextDecoder().decode(line)) && line.length;
    try {
      await keepLayouts(new Map([["a", "tile"]]), join(folder, "blocked", "layouts.json"));
    } finally {
      Deno.stderr.writeSync = writeSync;
    }
    assert.equal(lines.length, 1);
    assert.match(lines[0]!, /^warning: cannot keep tuned layouts: /);
  }));
