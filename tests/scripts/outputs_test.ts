/** Files that cannot be written are refused before the work that leads to them. */
import assert from "node:assert/strict";
import { join, relative } from "node:path";
import { main as embed } from "../../scripts/embed.ts";
import { main as evaluate } from "../../scripts/eval.ts";
import { main as exporting } from "../../scripts/export.ts";
import { main as locate } from "../../scripts/locate.ts";
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

Deno.test("checkOutputs() refuses an input, by whatever path", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const [input, link, other] = ["input", "link", "other"].map((name) => join(folder, name));
    for (const path of [input!, other!]) await Deno.writeTextFile(path, "");
    await Deno.symlink("input", link!);
    checkOutputs([other!, join(folder, "fresh")], [null, input!, join(folder, "fresh")]);
    for (const output of [input!, link!, relative(Deno.cwd(), input!)]) {
      assert.throws(() => checkOutputs([other!, output], [null, input!]), {
        name: "TypeError",
        message: `Cannot write ${output}: it is an input, expected another file`,
      });
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("checkOutputs() refuses two outputs of one path", () =>
  assert.throws(() => checkOutputs(["fresh.json", null, "./fresh.json"]), {
    name: "TypeError",
    message: "Cannot write ./fresh.json: it is given twice, expected two files",
  }));

for (
  const [name, main, args] of [
    ["embed", embed, ["--pictures", "no.jpg", "--output"]],
    ["export", exporting, ["--merged", "--output"]],
    ["eval", evaluate, ["--test_pairs_meta_file", "no.json", "--json"]],
  ] as const
) {
  Deno.test(`${name} does not overwrite its adapter`, async () => {
    const adapter = await Deno.makeTempDir();
    for (const file of ["adapter_config.json", "adapter_model.safetensors"]) {
      const path = join(adapter, file);
      await Deno.writeTextFile(path, "");
      await assert.rejects(main(["--adapter", adapter, ...args, path]), {
        message: `Cannot write ${path}: it is an input, expected another file`,
      });
    }
    await Deno.remove(adapter, { recursive: true });
  });
}

// None of the inputs exists: an error about one of them would mean that the work has begun.
const ADAPTER = ["--adapter", "no/adapter"];
const EVAL = [...ADAPTER, "--test_pairs_meta_file", "no.json"];
const LOCATE = [...ADAPTER, "--output", "FILE"];
const UNIVERSITY = ["--layout", "university", "--test_dir", "no/folder", ...ADAPTER];
const COMMANDS: [name: string, main: (args: string[]) => Promise<void>, args: string[]][] = [
  ["embed", embed, [...ADAPTER, "--pictures", "no.jpg", "--output"]],
  ["locate", locate, [...ADAPTER, "--pictures", "no.jpg", "--references", "no.json", "--output"]],
  ["export", exporting, [...ADAPTER, "--merged", "--output"]],
  ["merge", merge, ["--source", "a=no.json,no", "--output"]],
  ["weights", weights, ["--random", "no_model", "--output"]],
  ["eval", evaluate, [...EVAL, "--json"]],
  ["eval", evaluate, [...EVAL, "--predictions"]],
  ["eval", evaluate, [...EVAL, "--report"]],
  ["eval", evaluate, [...UNIVERSITY, "--answer"]],
];
for (const [name, main, args] of COMMANDS) {
  Deno.test(`${name} refuses ${args.at(-1)} in a missing folder before it reads anything`, () =>
    assert.rejects(main([...args, "none/file"]), {
      message: "Cannot write none/file: there is no folder none",
    }));
}

/** Commands and an input of each, which need be no good: nothing is read. */
const OVERWRITING: typeof COMMANDS = [
  ["embed", embed, [...ADAPTER, "--output", "FILE", "--test_pairs_meta_file"]],
  ["embed", embed, [...ADAPTER, "--output", "FILE", "--pictures"]],
  ["embed", embed, [...ADAPTER, "--output", "FILE", "--pictures", "no.jpg", "--weights"]],
  ["locate", locate, [...LOCATE, "--references", "no.json", "--pictures"]],
  ["locate", locate, [...LOCATE, "--pictures", "no.jpg", "--references"]],
  ["locate", locate, [
    ...[...LOCATE, "--pictures", "no.jpg", "--references", "no.json"],
    "--embeddings",
  ]],
  ["export", exporting, [...ADAPTER, "--merged", "--output", "FILE", "--weights"]],
  ["merge", merge, ["--output", "FILE", "--vpair_root", "no", "--vpair_json"]],
  ["eval", evaluate, ["--json", "FILE", ...EVAL, "--test_pairs_meta_file"]],
  ["eval", evaluate, ["--report", "FILE", ...EVAL, "--weights"]],
  ["eval", evaluate, ["--json", "FILE", "--embeddings"]],
];
for (const [name, main, args] of OVERWRITING) {
  Deno.test(`${name} ${args.at(-1)} is not overwritten`, async () => {
    const file = await Deno.makeTempFile();
    const given = [...args, file].map((arg) => arg === "FILE" ? file : arg);
    await assert.rejects(main(given), {
      message: `Cannot write ${file}: it is an input, expected another file`,
    });
    assert.equal((await Deno.stat(file)).size, 0);
    await Deno.remove(file);
  });
}
