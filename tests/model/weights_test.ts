import assert from "node:assert/strict";
import { modelConfig, parameterShapes } from "../../model/config.ts";
import { hashed, randomBackbone } from "../../model/hash_rule.ts";
import {
  encodeSafetensors,
  type FloatTensor,
  parseSafetensors,
  writeSafetensors,
} from "../../model/safetensors.ts";
import {
  type Backbone,
  backboneOfFile,
  backboneOfTensors,
  digestOf,
  loadBackbone,
  timmTensors,
} from "../../model/weights.ts";

// One block, narrow: names and shapes are what is tested here.
const C = 8;
const F = 12;
const plain = { ...modelConfig("vits16", { depth: 1 }), embedDim: C, mlpHidden: F };
const gated = { ...modelConfig("vits16plus", { depth: 1 }), embedDim: C, mlpHidden: F };

type Shapes = Record<string, number[]>;

// What `DINOv3ViTModel.save_pretrained` of transformers 5.23 writes.
const huggingFace: Shapes = {
  "embeddings.cls_token": [1, 1, C],
  "embeddings.mask_token": [1, 1, C],
  "embeddings.patch_embeddings.bias": [C],
  "embeddings.patch_embeddings.weight": [C, 3, 16, 16],
  "embeddings.register_tokens": [1, 4, C],
  "layer.0.attention.k_proj.weight": [C, C],
  "layer.0.attention.o_proj.bias": [C],
  "layer.0.attention.o_proj.weight": [C, C],
  "layer.0.attention.q_proj.bias": [C],
  "layer.0.attention.q_proj.weight": [C, C],
  "layer.0.attention.v_proj.bias": [C],
  "layer.0.attention.v_proj.weight": [C, C],
  "layer.0.layer_scale1.lambda1": [C],
  "layer.0.layer_scale2.lambda1": [C],
  "layer.0.mlp.down_proj.bias": [C],
  "layer.0.mlp.down_proj.weight": [C, F],
  "layer.0.mlp.up_proj.bias": [F],
  "layer.0.mlp.up_proj.weight": [F, C],
  "layer.0.norm1.bias": [C],
  "layer.0.norm1.weight": [C],
  "layer.0.norm2.bias": [C],
  "layer.0.norm2.weight": [C],
  "norm.bias": [C],
  "norm.weight": [C],
};
const huggingFaceGated: Shapes = {
  ...huggingFace,
  "layer.0.mlp.gate_proj.bias": [F],
  "layer.0.mlp.gate_proj.weight": [F, C],
};

const meta: Shapes = {
  cls_token: [1, 1, C],
  storage_tokens: [1, 4, C],
  mask_token: [1, C],
  "patch_embed.proj.weight": [C, 3, 16, 16],
  "patch_embed.proj.bias": [C],
  "rope_embed.periods": [16],
  "blocks.0.norm1.weight": [C],
  "blocks.0.norm1.bias": [C],
  "blocks.0.attn.qkv.weight": [3 * C, C],
  "blocks.0.attn.qkv.bias": [3 * C],
  "blocks.0.attn.qkv.bias_mask": [3 * C],
  "blocks.0.attn.proj.weight": [C, C],
  "blocks.0.attn.proj.bias": [C],
  "blocks.0.ls1.gamma": [C],
  "blocks.0.norm2.weight": [C],
  "blocks.0.norm2.bias": [C],
  "blocks.0.mlp.w1.weight": [F, C],
  "blocks.0.mlp.w1.bias": [F],
  "blocks.0.mlp.w2.weight": [F, C],
  "blocks.0.mlp.w2.bias": [F],
  "blocks.0.mlp.w3.weight": [C, F],
  "blocks.0.mlp.w3.bias": [C],
  "blocks.0.ls2.gamma": [C],
  "norm.weight": [C],
  "norm.bias": [C],
  "local_cls_norm.weight": [C],
  "local_cls_norm.bias": [C],
};

const timm: Shapes = Object.fromEntries(parameterShapes(plain));
const timmBias: Shapes = { "blocks.0.attn.q_bias": [C], "blocks.0.attn.v_bias": [C] };

/** Values of the hash rule, or zeros where the name matches. */
function tensorsOf(shapes: Shapes, zero?: RegExp): Map<string, FloatTensor> {
  const entries = Object.entries(shapes).map(([name, shape]) => {
    const data = hashed(name, shape, 1);
    if (zero?.test(name)) data.fill(0);
    return [name, { shape, data }] as const;
  });
  return new Map(entries);
}

function backboneOf(tensors: Map<string, FloatTensor>, config = plain): Backbone {
  return backboneOfFile(parseSafetensors(encodeSafetensors(tensors), "f"), config);
}

/** Asserts that a parameter is the named tensors of the file, one after the other. */
function assertFrom(
  backbone: Backbone,
  parameter: string,
  tensors: Map<string, FloatTensor>,
  names: string[],
): void {
  const expected = names.flatMap((name) => [...tensors.get(name)!.data]);
  assert.deepEqual([...backbone.get(parameter)], expected, parameter);
}

Deno.test("backboneOfFile() reads all of timm's parameters", () => {
  const tensors = tensorsOf(timm);
  const backbone = backboneOf(tensors);
  assert.equal(backbone.qvBias, false);
  for (const name of parameterShapes(plain).keys()) assertFrom(backbone, name, tensors, [name]);
  assert.throws(() => backbone.get("blocks.0.attn.qkv.bias"), RangeError);
});

for (
  const [what, shapes, config] of [
    ["plain", huggingFace, plain],
    ["gated", huggingFaceGated, gated],
  ] as const
) {
  Deno.test(`backboneOfFile() reads a ${what} model of Hugging Face`, () => {
    const tensors = tensorsOf(shapes);
    const backbone = backboneOf(tensors, config);
    const block = "layer.0";
    const sources: Record<string, string[]> = {
      "cls_token": ["embeddings.cls_token"],
      "reg_token": ["embeddings.register_tokens"],
      "patch_embed.proj.weight": ["embeddings.patch_embeddings.weight"],
      "patch_embed.proj.bias": ["embeddings.patch_embeddings.bias"],
      "blocks.0.gamma_1": [`${block}.layer_scale1.lambda1`],
      "blocks.0.gamma_2": [`${block}.layer_scale2.lambda1`],
      "blocks.0.norm1.weight": [`${block}.norm1.weight`],
      "blocks.0.norm1.bias": [`${block}.norm1.bias`],
      "blocks.0.norm2.weight": [`${block}.norm2.weight`],
      "blocks.0.norm2.bias": [`${block}.norm2.bias`],
      "blocks.0.attn.qkv.weight": ["q", "k", "v"].map((x) => `${block}.attention.${x}_proj.weight`),
      "norm.weight": ["norm.weight"],
      "norm.bias": ["norm.bias"],
    };
    const layers = what === "plain"
      ? [["mlp.fc1", "mlp.up_proj"]]
      : [["mlp.fc1_g", "mlp.gate_proj"], ["mlp.fc1_x", "mlp.up_proj"]];
    layers.push(["attn.proj", "attention.o_proj"], ["mlp.fc2", "mlp.down_proj"]);
    for (const [ours, theirs] of layers) {
      for (const part of ["weight", "bias"]) {
        sources[`blocks.0.${ours}.${part}`] = [`${block}.${theirs}.${part}`];
      }
    }
    assert.deepEqual(Object.keys(sources).sort(), [...parameterShapes(config).keys()].sort());
    for (const [name, names] of Object.entries(sources)) {
      assertFrom(backbone, name, tensors, names);
    }
  });
}

Deno.test("backboneOfFile() reads a gated model of Meta and ignores its periods, masks and norm of crops", () => {
  const tensors = tensorsOf(meta);
  const backbone = backboneOf(tensors, gated);
  for (
    const [name, source] of [
      ["reg_token", "storage_tokens"],
      ["blocks.0.gamma_2", "blocks.0.ls2.gamma"],
      ["blocks.0.mlp.fc1_g.weight", "blocks.0.mlp.w1.weight"],
      ["blocks.0.mlp.fc1_x.bias", "blocks.0.mlp.w2.bias"],
      ["blocks.0.mlp.fc2.weight", "blocks.0.mlp.w3.weight"],
      ["blocks.0.attn.qkv.weight", "blocks.0.attn.qkv.weight"],
    ] as const
  ) assertFrom(backbone, name, tensors, [source]);
  const bias = [...tensors.get("blocks.0.attn.qkv.bias")!.data];
  assert.deepEqual(
    [...backbone.get("blocks.0.attn.qkv.bias")],
    bias.map((value, i) => i >= C && i < 2 * C ? 0 : value),
  );
});

for (
  const [what, shapes, q, v] of [
    ["timm", { ...timm, ...timmBias }, "blocks.0.attn.q_bias", "blocks.0.attn.v_bias"],
    [
      "Hugging Face",
      huggingFace,
      "layer.0.attention.q_proj.bias",
      "layer.0.attention.v_proj.bias",
    ],
  ] as const
) {
  Deno.test(`backboneOfFile() keeps ${what}'s biases of q and v unless all are 0`, () => {
    const tensors = tensorsOf(shapes);
    const expected = [tensors.get(q)!.data, new Float32Array(C), tensors.get(v)!.data];
    const backbone = backboneOf(tensors);
    assert.equal(backbone.qvBias, true);
    assert.deepEqual(
      [...backbone.get("blocks.0.attn.qkv.bias")],
      expected.flatMap((part) => [...part]),
    );

    const zeroQ = backboneOf(tensorsOf(shapes, new RegExp(q)));
    assert.equal(zeroQ.qvBias, true);
    const zero = backboneOf(tensorsOf(shapes, new RegExp(`${q}|${v}`)));
    assert.equal(zero.qvBias, false);
    assert.throws(() => zero.get("blocks.0.attn.qkv.bias"), RangeError);
  });
}

for (const [from, to] of [[/^/, "backbone.model."], [/^layer/, "model.layer"]] as const) {
  Deno.test(`backboneOfFile() looks past the wrapper in ${"layer.0".replace(from, to)}`, () => {
    const tensors = tensorsOf(huggingFace);
    const wrapped = new Map([...tensors].map(([name, tensor]) => [name.replace(from, to), tensor]));
    const backbone = backboneOf(wrapped);
    assertFrom(backbone, "blocks.0.norm1.weight", tensors, ["layer.0.norm1.weight"]);
    assertFrom(backbone, "norm.weight", tensors, ["norm.weight"]);
  });
}

const { "norm.bias": _, ...incomplete } = timm;
const refused: [what: string, shapes: Shapes, message: string][] = [
  ["a missing tensor", incomplete, 'tensor "norm.bias", (8), is missing'],
  ["an unknown tensor", { ...timm, "head.weight": [2] }, 'tensor "head.weight" is not expected'],
  [
    "a block too many",
    { ...timm, "blocks.1.gamma_1": [C] },
    'tensor "blocks.1.gamma_1" is not expected',
  ],
  [
    "another shape",
    { ...timm, "blocks.0.attn.qkv.weight": [2 * C, C] },
    'tensor "blocks.0.attn.qkv.weight" is (16,8), expected (24,8)',
  ],
  [
    "another shape of one of three",
    { ...huggingFace, "layer.0.attention.k_proj.weight": [C, 4] },
    'tensor "layer.0.attention.k_proj.weight" is (8,4), expected (8,8)',
  ],
  [
    "a bias of q without one of v",
    { ...timm, "blocks.0.attn.q_bias": [C] },
    'tensor "blocks.0.attn.v_bias", (8), is missing',
  ],
  [
    "a bias of k",
    { ...huggingFace, "layer.0.attention.k_proj.bias": [C] },
    'tensor "layer.0.attention.k_proj.bias" is not expected',
  ],
  [
    "the same tensor twice",
    { ...timm, "model.norm.bias": [C] },
    '"norm.bias" and "model.norm.bias" both name "norm.bias"',
  ],
];
for (const [what, shapes, message] of refused) {
  Deno.test(`backboneOfFile() refuses ${what}`, () => {
    assert.throws(() => backboneOf(tensorsOf(shapes)), {
      name: "TypeError",
      message: `Cannot load f as ${plain.name}: ${message}`,
    });
  });
}

Deno.test("digestOf() knows biases of q and v", () => {
  const tensors = tensorsOf({ ...timm, ...timmBias });
  const before = digestOf(backboneOf(tensors));
  for (const name of Object.keys(timmBias)) {
    const { data } = tensors.get(name)!;
    const value = data[1]!;
    data[1] = value + 1;
    assert.notEqual(digestOf(backboneOf(tensors)), before, name);
    data[1] = value;
  }
  assert.equal(digestOf(backboneOf(tensors)), before);
});

Deno.test("backboneOfFile() refuses biases that only one block has", () => {
  const two = { ...plain, depth: 2 };
  const shapes = { ...Object.fromEntries(parameterShapes(two)), ...timmBias };
  assert.throws(() => backboneOf(tensorsOf(shapes), two), {
    message: `Cannot load f as ${plain.name}: tensor "blocks.1.attn.q_bias", (8), is missing`,
  });
});

Deno.test("backboneOfFile() refuses a value that is not finite when it is read", () => {
  const backbone = backboneOf(tensorsOf(timm));
  backbone.get("norm.bias")[3] = Infinity; // a view of the file
  assert.throws(() => backbone.get("norm.bias"), {
    message: 'Cannot load f: value 3 of tensor "norm.bias" is Infinity, expected a finite number',
  });
});

Deno.test("loadBackbone() reads a file and says how to convert a pickle", async () => {
  const path = await Deno.makeTempFile({ suffix: ".safetensors" });
  try {
    const tensors = tensorsOf(timm);
    await writeSafetensors(path, tensors);
    assertFrom(await loadBackbone(path, plain), "cls_token", tensors, ["cls_token"]);
  } finally {
    await Deno.remove(path);
  }
  await assert.rejects(loadBackbone("a/dinov3_vits16.pth", plain), {
    name: "TypeError",
    message: "Cannot load a/dinov3_vits16.pth: it is a PyTorch pickle, expected a .safetensors " +
      "file; in Python: safetensors.torch.save_file(torch.load(" +
      '"a/dinov3_vits16.pth"), "model.safetensors")',
  });
});

Deno.test("timmTensors() returns what timm would save, with and without biases", () => {
  for (const shapes of [timm, { ...timm, ...timmBias }]) {
    const tensors = tensorsOf(shapes);
    const saved = timmTensors(backboneOf(tensors));
    assert.deepEqual([...saved.keys()].sort(), [...tensors.keys()].sort());
    for (const [name, { shape, data }] of tensors) {
      assert.deepEqual(saved.get(name)!.shape, shape);
      assert.deepEqual([...saved.get(name)!.data], [...data]);
    }
  }
});

Deno.test("backboneOfTensors() serves values by name and refuses others", () => {
  const tensors = randomBackbone(plain, 0);
  const backbone = backboneOfTensors(tensors, plain);
  assert.equal(backbone.get("norm.bias"), tensors.get("norm.bias"));
  assert.throws(() => backbone.get("norm.gamma"), {
    name: "RangeError",
    message: `Cannot use parameter "norm.gamma": ${plain.name} has none of that name`,
  });
});

Deno.test("backboneOfFile() leaves out heads of pretraining", () => {
  const tensors = tensorsOf({ ...timm, "projectors.teacher.0.weight": [C, C] });
  backboneOf(tensors);
});

Deno.test("backboneOfTensors() has biases of q and v where they are given", () => {
  const bias = new Map([["blocks.0.attn.qkv.bias", new Float32Array(3 * C)]]);
  assert.equal(backboneOfTensors(bias, plain).qvBias, true);
  assert.equal(backboneOfTensors(new Map(), plain).qvBias, false);
});
