import assert from "node:assert/strict";
import type { Adapter } from "../../model/adapter.ts";
import { modelConfig } from "../../model/config.ts";
import { randomBackbone } from "../../model/hash_rule.ts";
import { mergeAdapter } from "../../model/merge.ts";
import { backboneOfTensors } from "../../model/weights.ts";
import { assertClose, uniform } from "../testing.ts";

const config = { ...modelConfig("vits16", { depth: 1 }), embedDim: 8, mlpHidden: 12 };
const name = "blocks.0.mlp.fc1";
const [rank, alpha] = [3, 2];
const adapter: Adapter = {
  modules: [{ name, rank, alpha, loraA: uniform(3 * 8, 1), loraB: uniform(12 * 3, 2) }],
  head: null,
  logitScale: null,
  dropout: 0,
  rslora: true,
  baseModel: null,
  input: null,
};

Deno.test("mergeAdapter() gives a layer's output with its update", () => {
  const tensors = randomBackbone(config, 0);
  const merged = mergeAdapter(backboneOfTensors(tensors, config), adapter);
  const { loraA, loraB } = adapter.modules[0]!;
  const x = uniform(8, 3);
  const output = (weight: Float32Array) =>
    Array.from({ length: 12 }, (_, row) => x.reduce((y, v, j) => y + v * weight[row * 8 + j]!, 0));
  // W x + s B (A x), the order in which an adapter that is not merged computes.
  const down = Array.from(
    { length: rank },
    (_, r) => x.reduce((sum, v, j) => sum + v * loraA[r * 8 + j]!, 0),
  );
  const expected = output(tensors.get(`${name}.weight`)!).map((y, row) =>
    y + alpha / Math.sqrt(rank) * down.reduce((sum, d, r) => sum + d * loraB[row * rank + r]!, 0)
  );
  // 8 weights below 4 are each rounded once to f32, by at most 2^-23, and multiplied by at most 1.
  assertClose(output(merged.get(`${name}.weight`)!.data), expected, { atol: 2 ** -20, rtol: 0 });
});

Deno.test("mergeAdapter() leaves all other parameters and the backbone alone", () => {
  const tensors = randomBackbone(config, 0);
  const merged = mergeAdapter(backboneOfTensors(tensors, config), adapter);
  assert.deepEqual([...merged.keys()], [...tensors.keys()]);
  for (const [key, values] of randomBackbone(config, 0)) {
    assert.deepEqual(tensors.get(key), values);
    if (key !== `${name}.weight`) assert.deepEqual(merged.get(key)!.data, values);
  }
});

Deno.test("mergeAdapter() refuses an adapter of another backbone", () => {
  const wide = { ...config, embedDim: 16 };
  const backbone = backboneOfTensors(randomBackbone(wide, 0), wide);
  assert.throws(() => mergeAdapter(backbone, adapter), TypeError);
});
