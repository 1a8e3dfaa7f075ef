import assert from "node:assert/strict";
import { join } from "node:path";
import { type Adapter, writeAdapter } from "../../model/adapter.ts";
import { modelConfig } from "../../model/config.ts";
import { initialAdapter } from "../../model/init.ts";
import { writeSafetensors } from "../../model/safetensors.ts";
import { depthWarning, type ModelFlags, readModel } from "../../scripts/inference.ts";
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

Deno.test("readModel() takes the backbone and the depth that the adapter names, or the flags", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const at = (name: string) => join(folder, name);
    await writeSafetensors(at("weights.safetensors"), tinyWeights());
    const adapter = tinyAdapter(tinyConfig(2));
    const flags = {
      adapter: at("a"),
      model: null,
      weights: at("weights.safetensors"),
      depth: null,
    };
    const depthOf = async (changes: Partial<Adapter>, more: Partial<ModelFlags> = {}) => {
      await writeAdapter(at("a"), { ...adapter, ...changes });
      const { backbone } = await readModel({ ...flags, ...more });
      assert.equal(backbone.config.name, "vit_small_patch16_dinov3.lvd1689m");
      return backbone.config.depth;
    };
    const input = { imgSize: 32, pool: "avg", depth: 2 } as const;
    assert.equal(await depthOf({ input }), 2);
    assert.equal(await depthOf({ input }, { depth: 3 }), 3);
    assert.equal(await depthOf({}), 12);
    assert.equal(await depthOf({ baseModel: "anybody's" }), 12);
    await assert.rejects(depthOf({ baseModel: "vitb16" }), /384.*768|768.*384/);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
