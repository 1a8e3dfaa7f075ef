import assert from "node:assert/strict";
import { join } from "node:path";
import { writeSafetensors } from "../../model/safetensors.ts";
import { main } from "../../scripts/eval.ts";
import { pair } from "./tiny_world.ts";

// One value that is not the default for each flag that only one layout knows.
const OF_PAIRS = [
  ["embeddings", "e.safetensors"],
  ["test_pairs_meta_file", "test.json"],
  ["data_root", "data"],
  ["eval_mode", "pos"],
  ["gallery", "folder"],
  ["same_map"],
  ["allow_outside_root"],
  ["radius", "25"],
];
const OF_UNIVERSITY = [
  ["test_dir", "test"],
  ["task", "sate2drone"],
  ["drone_view", "street"],
  ["video", "mean"],
  ["flip"],
  ["ms", "1,1.1"],
  ["answer", "answer.txt"],
  ["answer_format", "space"],
];
for (
  const [layout, other, flags] of [
    ["university", "pairs", OF_PAIRS],
    ["pairs", "university", OF_UNIVERSITY],
  ] as const
) {
  for (const [name, ...value] of flags) {
    Deno.test(`eval --layout ${layout} refuses --${name}`, () =>
      assert.rejects(main(["--layout", layout, "--adapter", "none", `--${name}`, ...value]), {
        name: "UsageError",
        message: `Cannot run eval: --${name} belongs to --layout ${other}, got --layout ${layout}`,
      }));
  }
}

Deno.test("eval wants one thing to evaluate", async () => {
  const wanted = {
    name: "UsageError",
    message:
      "Cannot run eval: give either --adapter, or --model for a backbone as it is, or --embeddings",
  };
  await assert.rejects(main(["--test_pairs_meta_file", "test.json"]), wanted);
  for (const model of ["--adapter", "--model"]) {
    await assert.rejects(main([model, "vits16", "--embeddings", "e.safetensors"]), wanted);
  }
});

Deno.test("eval refuses flags of a model with --embeddings", () =>
  assert.rejects(main(["--embeddings", "e.safetensors", "--img_size", "512"]), {
    name: "UsageError",
    message: "Cannot run eval: --img_size belongs to a model, got --embeddings",
  }));

Deno.test("eval refuses a --rank_image past the queries before it reads embeddings", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const pairs = join(folder, "pairs.json");
    await Deno.writeTextFile(pairs, JSON.stringify([pair("0.jpg", "0.jpg")]));
    const embeddings = join(folder, "none.safetensors");
    const flags = ["--test_pairs_meta_file", pairs, "--data_root", folder];
    await assert.rejects(main([...flags, "--embeddings", embeddings, "--rank_image", "1"]), {
      name: "RangeError",
      message: "Cannot draw the ranking of query 1: there are 1, the first is 0",
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("eval --predictions writes a line a query", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const file = (name: string) => join(folder, name);
    const pairs = [pair("0.jpg", "0.jpg"), pair("1.jpg", "1.jpg")];
    await Deno.writeTextFile(file("pairs.json"), JSON.stringify(pairs));
    const names = (side: string) => JSON.stringify([`${side}/0.jpg`, `${side}/1.jpg`]);
    const rows = { shape: [2, 2], data: Float32Array.of(1, 0, 0.8, 0.6) };
    await writeSafetensors(
      file("e.safetensors"),
      new Map([["query", rows], ["gallery", { shape: [2, 2], data: Float32Array.of(0, 1, 1, 0) }]]),
      { query: names("drone"), gallery: names("satellite") },
    );
    await main([
      ...["--test_pairs_meta_file", file("pairs.json"), "--data_root", folder],
      ...["--embeddings", file("e.safetensors"), "--predictions", file("p.jsonl")],
    ]);
    const lines = (await Deno.readTextFile(file("p.jsonl"))).trim().split("\n");
    const predictions = lines.map((line) => JSON.parse(line));
    assert.deepEqual(
      predictions.map(({ query, rank, top }) => [query, rank, top[0].reference, top[0].verdict]),
      [
        ["drone/0.jpg", 2, "satellite/1.jpg", "wrong"],
        ["drone/1.jpg", 1, "satellite/1.jpg", "right"],
      ],
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
