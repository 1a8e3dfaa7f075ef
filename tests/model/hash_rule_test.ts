import assert from "node:assert/strict";
import { modelConfig, parameterCount, parameterShapes } from "../../model/config.ts";
import { hashed, randomBackbone } from "../../model/hash_rule.ts";

// Printed by the reference program that made the golden files: first, second and last value, all
// exact in f32, and the sum of all values in f64.
const known: [string, number[], number, number[], number][] = [
  [
    "cls_token",
    [1, 1, 384],
    1,
    [-0.5595189332962036, -0.5150313377380371, 0.1971036195755005],
    -4.0256465673446655,
  ],
  [
    "blocks.3.norm1.weight",
    [384],
    7,
    [1.0344027280807495, 1.0050346851348877, 0.8209273815155029],
    379.0485955476761,
  ],
  [
    "blocks.0.gamma_1",
    [384],
    0,
    [0.726182222366333, 0.3343040645122528, 0.2518126964569092],
    195.32197204232216,
  ],
  ["patch_embed.proj.weight", [384, 3, 16, 16], 0, [
    0.040709324181079865,
    0.022171981632709503,
    0.03564074635505676,
  ], -5.002842150628567],
  ["blocks.11.mlp.fc2.weight", [384, 1536], 2 ** 31 + 5, [
    0.003964457660913467,
    0.0010031163692474365,
    0.006478410214185715,
  ], -4.851538520306349],
  ["base_model.model.blocks.0.attn.qkv.lora_A.weight", [4, 384], 0, [
    -0.04841478168964386,
    0.04609851539134979,
    -0.00018161535263061523,
  ], 2.735630840063095],
  ["input.image", [1, 3, 16, 16], 0, [
    -0.5127193927764893,
    -0.8992810249328613,
    -0.683422327041626,
  ], -52.28826642036438],
  [
    "head.3.bias",
    [256],
    42,
    [-0.11930182576179504, -0.08371345698833466, 0.09892338514328003],
    -1.4277099668979645,
  ],
];
for (const [name, shape, seed, values, sum] of known) {
  Deno.test(`hashed() gives the reference's ${name} for seed ${seed}`, () => {
    const actual = hashed(name, shape, seed);
    assert.deepEqual([actual[0], actual[1], actual.at(-1)], values);
    // Every value is a multiple of 2^-30 and below 2, so that their sum is exact in f64.
    assert.equal(actual.reduce((total, value) => total + value, 0), sum);
  });
}

Deno.test("hashed() doubles the scale of attn.qkv.weight", () => {
  const values = hashed("blocks.0.attn.qkv.weight", [1152, 384], 0);
  const expected = [0.059807777404785156, -0.11658170819282532, 0.07062113285064697];
  assert.deepEqual([...values.subarray(0, 3)], expected);
});

Deno.test("hashed() takes an explicit range", () => {
  const unit = hashed("step.0.weight", [6], 3, { offset: 0, scale: 1 });
  const weights = hashed("step.0.weight", [6], 3, { offset: 0.5, scale: 0.5 });
  assert.deepEqual([...weights], [...unit].map((value) => Math.fround(0.5 + 0.5 * value)));
});

Deno.test("randomBackbone() fills every parameter with finite values", () => {
  const config = modelConfig("vits16plus", { depth: 2 });
  const tensors = randomBackbone(config, 5);
  assert.deepEqual([...tensors.keys()], [...parameterShapes(config).keys()]);
  let count = 0;
  for (const [name, values] of tensors) {
    assert.ok(values.every(Number.isFinite), name);
    assert.ok(new Set(values.subarray(0, 100)).size > 90, `${name} repeats itself`);
    count += values.length;
  }
  assert.equal(count, parameterCount(config));
});
