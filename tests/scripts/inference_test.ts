import assert from "node:assert/strict";
import { join } from "node:path";
import type { Adapter } from "../../model/adapter.ts";
import { modelConfig } from "../../model/config.ts";
import { initialAdapter } from "../../model/init.ts";
import { writeSafetensors } from "../../model/safetensors.ts";
import { randomBackbone } from "../../model/hash_rule.ts";
import { type Backbone, backboneOfTensors, digestOf } from "../../model/weights.ts";
import {
  type BackboneFlags,
  backboneFor,
  depthWarning,
  weightsWarning,
} from "../../scripts/inference.ts";
import { tinyAdapter, tinyConfig } from "../model/tiny.ts";
import { tinyWeights } from "./tiny_world.ts";

Deno.test("depthWarning() says when a backbone is deeper than its adapter", () => {
  const options = { rank: 4, alpha: 8, dropout: 0, targets: ["attn.qkv"], seed: 0 };
  const head = { hidden: 8, embedDim: 8 };
  const adapter = initialAdapter(modelConfig("vits16", { depth: 2 }), { ...options, head });
  assert.equal(depthWarning(adapter, modelConfig("vits16", { depth: 2 })), null);
  assert.match(
    depthWarning(adapter, modelConfig("vits16")) ?? "",
    /^the adapter ends at block 2 of 12 of \S+: if it was trained with --depth 2, give that/,
  );
  assert.equal(depthWarning({ ...adapter, modules: [] }, modelConfig("vits16")), null);
});

Deno.test("weightsWarning() says when a backbone has other weights than it was in training", () => {
  const config = tinyConfig(1);
  const [trained, other] = [0, 7].map((seed) =>
    backboneOfTensors(randomBackbone(config, seed), config)
  ) as [Backbone, Backbone];
  const input = { imgSize: 32, pool: "avg", depth: 1, weights: digestOf(trained) } as const;
  const adapter = { ...tinyAdapter(config), input };
  assert.equal(weightsWarning(adapter, trained), null);
  assert.match(
    weightsWarning(adapter, other) ?? "",
    /^the adapter was trained on other weights of \S+ \(digest [0-9a-f]{12}, here [0-9a-f]{12}\)/,
  );
  assert.equal(weightsWarning({ ...adapter, input: null }, other), null);
  assert.equal(
    weightsWarning({ ...adapter, input: { ...input, weights: undefined } }, other),
    null,
  );
});

Deno.test("backboneFor() takes backbone and depth that the adapter names, or the flags", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const weights = join(folder, "weights.safetensors");
    await writeSafetensors(weights, tinyWeights());
    const adapter = tinyAdapter(tinyConfig(2));
    const depthOf = async (changes: Partial<Adapter>, flags: Partial<BackboneFlags> = {}) => {
      const wanted = { model: null, weights, depth: null, ...flags };
      const { config } = await backboneFor({ ...adapter, ...changes }, wanted);
      assert.equal(config.name, "vit_small_patch16_dinov3.lvd1689m");
      return config.depth;
    };
    const input = { imgSize: 32, pool: "avg", depth: 2 } as const;
    assert.equal(await depthOf({ input }), 2);
    assert.equal(await depthOf({ input }, { depth: 3 }), 3);
    assert.equal(await depthOf({}), 12);
    assert.equal(await depthOf({ baseModel: "anybody's" }), 12);
    assert.equal((await backboneFor(null, { model: "vits16", weights, depth: 1 })).config.depth, 1);
    await assert.rejects(depthOf({ baseModel: "vitb16" }), /384.*768|768.*384/);
    assert.equal(await depthOf({ baseModel: "vitb16" }, { model: "vits16" }), 12);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
