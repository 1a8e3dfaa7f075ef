import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { AUGMENT_DEFAULTS } from "../../data/augment_settings.ts";
import { type Entry, parseEntries } from "../../data/pairs.ts";
import { modelConfig } from "../../model/config.ts";
import { randomBackbone } from "../../model/hash_rule.ts";
import { backboneOfTensors } from "../../model/weights.ts";
import { checkDigests, digestsOf, type Inputs } from "../../scripts/inputs.ts";
import { GPU_OFF } from "../testing.ts";
import { runCommand } from "./command.ts";
import { pair, tinyFlags, writeTinyWorld } from "./tiny_world.ts";

function entriesIn(root: string, weight = 0.5, ...semiPositives: string[]): Entry[] {
  const entry = {
    ...pair("a.jpg", "b.jpg"),
    pair_pos_sate_weight_list: [weight],
    pair_pos_semipos_sate_img_list: semiPositives,
  };
  const path = join(root, "pairs.json");
  return parseEntries(JSON.stringify([entry]), { path, dataRoot: root });
}

function backboneOf(seed: number): Inputs["backbone"] {
  const config = modelConfig("vits16", { depth: 1 });
  return backboneOfTensors(randomBackbone(config, seed), config);
}

const INPUTS: Inputs = {
  ...{ entries: entriesIn("/data"), testEntries: entriesIn("/data") },
  ...{ augment: null, backbone: backboneOf(1) },
};

Deno.test("digestsOf() is the same for the same contents, wherever they lie", () => {
  const digests = digestsOf(INPUTS);
  assert.deepEqual(Object.keys(digests), ["pairs", "test pairs", "augment", "weights"]);
  for (const digest of Object.values(digests)) assert.match(digest, /^[0-9a-f]{64}$/);
  assert.deepEqual(digestsOf({ ...INPUTS, backbone: backboneOf(1) }), digests);
  assert.deepEqual(digestsOf({ ...INPUTS, entries: entriesIn("/disk/data") }), digests);
  assert.deepEqual(digestsOf({ ...INPUTS, testEntries: entriesIn("/disk/data") }), digests);
});

Deno.test("digestsOf() of pairs is that of their JSON, without roots", () => {
  const [entry] = INPUTS.entries;
  for (const entries of [[], [entry!], [entry!, { ...entry!, index: 1 }]]) {
    const withoutRoot = (key: string, value: unknown) => key === "root" ? undefined : value;
    const text = JSON.stringify(entries, withoutRoot);
    const digest = createHash("sha256").update(text).digest("hex");
    assert.equal(digestsOf({ ...INPUTS, entries }).pairs, digest);
  }
});

Deno.test("digestsOf() takes pairs whose JSON is longer than any string", () => {
  const [entry] = INPUTS.entries;
  const long = { ...entry!, source: "s".repeat(2 ** 24) };
  // V8's longest has 2 ** 29 - 24 characters.
  const { pairs } = digestsOf({ ...INPUTS, entries: new Array(2 ** 5).fill(long) });
  assert.match(pairs!, /^[0-9a-f]{64}$/);
});

Deno.test("checkDigests() names what has changed", () => {
  const before = digestsOf(INPUTS);
  checkDigests(before, before);
  const changed: [string, Inputs][] = [
    ["pairs", { ...INPUTS, entries: entriesIn("/data", 0.25) }],
    ["pairs", { ...INPUTS, entries: entriesIn("/data", 0.5, "semi.jpg") }],
    ["test pairs", { ...INPUTS, testEntries: entriesIn("/data", 0.25) }],
    ["test pairs", { ...INPUTS, testEntries: null }],
    ["augment", { ...INPUTS, augment: AUGMENT_DEFAULTS }],
    ["weights", { ...INPUTS, backbone: backboneOf(2) }],
  ];
  for (const [name, inputs] of changed) {
    assert.throws(
      () => checkDigests(digestsOf(inputs), before),
      new RegExp(`^Error: Cannot resume: the ${name} have changed since the run began \\(SHA-256`),
    );
  }
});

Deno.test({
  name: "train --resume goes on with data that have moved, and keeps in mind where they are",
  ignore: GPU_OFF,
  fn: async () => {
    const folder = await Deno.makeTempDir();
    const resume = async (...args: string[]) => {
      const flags = ["--resume", "--model_path", join(folder, "runs"), ...args];
      const { code, stderr } = await runCommand("train", flags);
      assert.equal(code, 0, stderr);
    };
    try {
      const [before, after] = [join(folder, "a/world"), join(folder, "b/world")];
      await Deno.mkdir(before, { recursive: true });
      await Deno.mkdir(join(folder, "b"));
      await writeTinyWorld(before, 6);
      const flags = [...tinyFlags(before), "--model_path", join(folder, "runs")];
      const first = await runCommand("train", [...flags, "--depth", "1", "--max_steps", "2"]);
      assert.equal(first.code, 0, first.stderr);
      await Deno.rename(before, after);
      const [, run] = /^finished: (.*)[/\\]final$/m.exec(first.stderr)!;
      await Deno.remove(join(run!, "last"), { recursive: true }); // killed before its last save
      await resume("--data_root", after, "--weights", join(after, "weights.safetensors"));
      await resume();
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

Deno.test({
  name: "train --resume refuses pairs that have changed",
  ignore: GPU_OFF,
  fn: async () => {
    const folder = await Deno.makeTempDir();
    try {
      await writeTinyWorld(folder, 6);
      const flags = [...tinyFlags(folder), "--depth", "1", "--max_steps", "1", "--warmup_epochs=2"];
      const first = await runCommand("train", flags);
      assert.equal(first.code, 0, first.stderr);
      assert.match(
        first.stderr,
        /^warning: the warm-up takes \d+ steps and the run 1: --lr is never reached, lower /m,
      );
      const others = Array.from({ length: 6 }, (_, i) => pair(`${i}.jpg`, `${(i + 1) % 6}.jpg`));
      await Deno.writeTextFile(join(folder, "pairs.json"), JSON.stringify(others));
      const runs = join(folder, "runs");
      const { code, stderr } = await runCommand("train", ["--resume", "--model_path", runs]);
      assert.equal(code, 1, stderr);
      assert.match(stderr, /^error: Cannot resume: the pairs have changed since the run began/m);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});
