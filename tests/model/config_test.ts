import assert from "node:assert/strict";
import { MODEL_NAMES, modelConfig, parameterCount, parameterShapes } from "../../model/config.ts";

// Parameter counts that timm reports for the models it builds.
const counts = {
  "vit_small_patch16_dinov3.lvd1689m": 21_586_944,
  "vit_small_plus_patch16_dinov3.lvd1689m": 28_683_264,
  "vit_base_patch16_dinov3.lvd1689m": 85_641_216,
  "vit_large_patch16_dinov3.lvd1689m": 303_079_424,
  "vit_large_patch16_dinov3.sat493m": 303_079_424,
};

Deno.test("parameterCount() is timm's for every model", () => {
  const actual = MODEL_NAMES.map((name) => [name, parameterCount(modelConfig(name))]);
  assert.deepEqual(Object.fromEntries(actual), counts);
});

Deno.test("modelConfig() knows a model by all its names", () => {
  const large = modelConfig("vit_large_patch16_dinov3.lvd1689m");
  assert.deepEqual([large.heads, large.headDim, large.gated], [16, 64, false]);
  for (
    const name of [
      "vit_large_patch16_dinov3",
      "timm/vit_large_patch16_dinov3.lvd1689m",
      "facebook/dinov3-vitl16-pretrain-lvd1689m",
      "vitl16",
    ]
  ) assert.deepEqual(modelConfig(name), large);
});

Deno.test("modelConfig() gives satellite weights their own pixel statistics", () => {
  const satellite = modelConfig("facebook/dinov3-vitl16-pretrain-sat493m");
  assert.equal(satellite.name, "vit_large_patch16_dinov3.sat493m");
  assert.deepEqual(satellite.mean, [0.430, 0.411, 0.296]);
  assert.deepEqual(satellite.std, [0.213, 0.156, 0.143]);
  assert.deepEqual(modelConfig("vits16").mean, [0.485, 0.456, 0.406]);
});

Deno.test("modelConfig() refuses an unknown name and lists the known ones", () => {
  for (
    const name of ["", "vit_huge_plus_patch16_dinov3", "vits16.sat493m", "vits16.foo", "xvits16"]
  ) {
    assert.throws(
      () => modelConfig(name),
      new RangeError(`Cannot use model "${name}": expected one of ${MODEL_NAMES.join(", ")}`),
    );
  }
});

Deno.test("modelConfig() keeps the first blocks when given a depth", () => {
  const config = modelConfig("vits16", { depth: 2 });
  // 6 tensors around the blocks, 13 in each; the count is the golden file's n_params.
  assert.equal(parameterShapes(config).size, 6 + 2 * 13);
  assert.equal(parameterCount(config), 3_846_144);
  for (const depth of [0, 13, 1.5, NaN]) {
    assert.throws(() => modelConfig("vits16", { depth }), {
      name: "RangeError",
      message: `Cannot use the first ${depth} blocks of model "vits16": expected 1 to 12`,
    });
  }
});

Deno.test("parameterShapes() has timm's names and shapes of a block", () => {
  const ofBlock = (name: string) =>
    [...parameterShapes(modelConfig(name, { depth: 1 }))]
      .filter(([key]) => key.startsWith("blocks.0.mlp") || key.includes("qkv"))
      .map(([key, shape]) => `${key} ${shape}`);
  assert.deepEqual(ofBlock("vits16"), [
    "blocks.0.attn.qkv.weight 1152,384",
    "blocks.0.mlp.fc1.weight 1536,384",
    "blocks.0.mlp.fc1.bias 1536",
    "blocks.0.mlp.fc2.weight 384,1536",
    "blocks.0.mlp.fc2.bias 384",
  ]);
  assert.deepEqual(ofBlock("vits16plus"), [
    "blocks.0.attn.qkv.weight 1152,384",
    "blocks.0.mlp.fc1_g.weight 1536,384",
    "blocks.0.mlp.fc1_g.bias 1536",
    "blocks.0.mlp.fc1_x.weight 1536,384",
    "blocks.0.mlp.fc1_x.bias 1536",
    "blocks.0.mlp.fc2.weight 384,1536",
    "blocks.0.mlp.fc2.bias 384",
  ]);
});
