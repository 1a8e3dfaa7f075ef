import assert from "node:assert/strict";
import type { Adapter } from "../../model/adapter.ts";
import { initialAdapter } from "../../model/init.ts";
import { parseFlags, UsageError } from "../../scripts/cli.ts";
import { checkShape, flagsOfAdapter, startOf } from "../../scripts/init_adapter.ts";
import { TRAIN_FLAGS, type TrainFlags, withStored } from "../../scripts/train_flags.ts";
import { tinyAdapter, tinyConfig } from "../model/tiny.ts";

const CONFIG = tinyConfig(2);

/** Flags of a run that starts from an adapter. */
function flagsFor(adapter: Adapter, ...args: string[]): TrainFlags {
  const command = { name: "train", summary: "trains" };
  const given = ["--train_pairs_meta_file", "pairs.json", "--init_adapter", "old", ...args];
  return parseFlags(command, withStored(flagsOfAdapter(adapter)), given);
}

Deno.test("flagsOfAdapter() are those that the adapter was trained with", () => {
  const input = { imgSize: 224, pool: "token", depth: 2 } as const;
  assert.deepEqual(flagsOfAdapter({ ...tinyAdapter(CONFIG, { dropout: 0.25 }), input }), {
    lora_r: 3,
    lora_alpha: 6,
    lora_dropout: 0.25,
    lora_targets: "attn.qkv,attn.proj,mlp.fc1,mlp.fc2",
    mlp_hidden: 16,
    embed_dim: 8,
    model: "vit_small_patch16_dinov3.lvd1689m",
    img_size: 224,
    global_pool: "token",
    depth: 2,
  });
  const peft = { ...tinyAdapter(CONFIG, { targets: ["attn.proj"] }), head: null, baseModel: null };
  assert.deepEqual(flagsOfAdapter(peft), {
    lora_r: 3,
    lora_alpha: 6,
    lora_dropout: 0,
    lora_targets: "attn.proj",
  });
});

Deno.test("checkShape() refuses what the adapter is not, and takes what is said again", () => {
  const adapter = tinyAdapter(CONFIG);
  checkShape(flagsFor(adapter), adapter);
  checkShape(flagsFor(adapter, "--lora_r", "3", "--lora_dropout", "0.5"), adapter);
  const others = [["lora_r", 8, 3], ["lora_alpha", 8, 6], ["mlp_hidden", 32, 16], [
    "embed_dim",
    16,
    8,
  ], ["lora_targets", "attn.qkv", "attn.qkv,attn.proj,mlp.fc1,mlp.fc2"]];
  for (const [name, given, found] of others) {
    assert.throws(
      () => checkShape(flagsFor(adapter, `--${name}`, `${given}`), adapter),
      new UsageError(`Cannot start from old with --${name} ${given}: it has ${found}`),
    );
  }
  const headless = { ...adapter, head: null };
  checkShape(flagsFor(headless, "--embed_dim", "64"), headless);
});

Deno.test("startOf() takes an adapter's parameters, and makes those that it lacks", () => {
  const adapter = { ...tinyAdapter(CONFIG), logitScale: 3, rslora: true };
  const flags = flagsFor(adapter, "--lora_dropout", "0.5");
  assert.deepEqual(startOf(flags, CONFIG, adapter), { ...adapter, dropout: 0.5 });

  const bare = { ...adapter, head: null, logitScale: null, baseModel: null };
  const small = ["--embed_dim", "8", "--mlp_hidden", "16", "--seed", "1"];
  const fresh = initialAdapter(CONFIG, {
    rank: 3,
    alpha: 6,
    dropout: 0,
    targets: ["attn.qkv"],
    head: { hidden: 16, embedDim: 8 },
    seed: 1,
  });
  const { head, logitScale, baseModel } = fresh;
  assert.deepEqual(startOf(flagsFor(bare, ...small), CONFIG, bare), {
    ...bare,
    head,
    logitScale,
    baseModel,
  });
});

Deno.test("startOf() is a new adapter of the flags where none is given", () => {
  const command = { name: "train", summary: "trains" };
  const small = ["--lora_r", "2", "--mlp_hidden", "8", "--embed_dim", "4", "--lora_targets"];
  const flags = parseFlags(command, TRAIN_FLAGS, [
    "--train_pairs_meta_file=pairs.json",
    ...small,
    "attn.qkv",
  ]);
  const { modules, head } = startOf(flags, CONFIG, null);
  assert.deepEqual(modules.map(({ name }) => name), ["blocks.0.attn.qkv", "blocks.1.attn.qkv"]);
  assert.deepEqual([modules[0]!.rank, head!.hidden, head!.embedDim], [2, 8, 4]);
});
