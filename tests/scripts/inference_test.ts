import assert from "node:assert/strict";
import { modelConfig } from "../../model/config.ts";
import { initialAdapter } from "../../model/init.ts";
import { depthWarning } from "../../scripts/inference.ts";

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
