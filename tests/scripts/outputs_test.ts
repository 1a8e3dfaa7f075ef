/** Files that cannot be written are refused before the work that leads to them. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { main as embed } from "../../scripts/embed.ts";
import { main as evaluate } from "../../scripts/eval.ts";
import { main as exporting } from "../../scripts/export.ts";
import { main as merge } from "../../scripts/merge.ts";
import { checkOutputs } from "../../scripts/outputs.ts";
import { main as weights } from "../../scripts/weights.ts";

Deno.test("checkOutputs() refuses a file in no folder and a folder, and nothing else", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const [old, fresh, lost] = ["old", "new", "none/file"].map((name) => join(folder, name));
    await Deno.writeTextFile(old!, "");
    checkOutputs([old!, null, fresh!, "here.json"]);
    assert.throws(() => checkOutputs([fresh!, lost!]), {
      name: "NotFound",
      message: `Cannot write ${lost}: there is no folder ${join(folder, "none")}`,
    });
    assert.throws(() => checkOutputs([join(old!, "file")]), Deno.errors.NotFound);
    assert.throws(() => checkOutputs([folder]), {
      name: "TypeError",
      message: `Cannot write ${folder}: it is a folder, expected a file`,
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

// None of the inputs exists: an error about one of them would mean that the work has begun.
const ADAPTER = ["--adapter", "no/adapter"];
const EVAL = [...ADAPTER, "--test_pairs_meta_file", "no.json"];
const UNIVERSITY = ["--layout", "university", "--test_dir", "no/folder", ...ADAPTER];
const COMMANDS: [name: string, main: (args: string[]) => Promise<void>, args: string[]][] = [
  ["embed", embed, [...ADAPTER, "--pictures", "no.jpg", "--output"]],
  ["export", exporting, [...ADAPTER, "--merged", "--output"]],
  ["merge", merge, ["--source", "a=no.json,no", "--output"]],
  ["weights", weights, ["--random", "no_model", "--output"]],
  ["eval", evaluate, [...EVAL, "--json"]],
  ["eval", evaluate, [...EVAL, "--report"]],
  ["eval", evaluate, [...UNIVERSITY, "--answer"]],
];
for (const [name, main, args] of COMMANDS) {
  Deno.test(`${name} refuses ${args.at(-1)} in a missing folder before it reads anything`, () =>
    assert.rejects(main([...args, "none/file"]), {
      message: "Cannot write none/file: there is no folder none",
    }));
}
