import assert from "node:assert/strict";
import { join } from "node:path";
import {
  type Adapter,
  checkAdapter,
  encodeAdapter,
  loraScaling,
  readAdapter,
  writeAdapter,
} from "../../model/adapter.ts";
import { modelConfig } from "../../model/config.ts";
import { initialAdapter } from "../../model/init.ts";
import { encodeSafetensors, parseSafetensors } from "../../model/safetensors.ts";
import { uniform } from "../testing.ts";

const config = { ...modelConfig("vits16", { depth: 2 }), embedDim: 8, mlpHidden: 12 };

/** An adapter of ranks 2 and 3 on two kinds of layers in two blocks, with a head. */
function makeAdapter(): Adapter {
  const modules = ["blocks.0.attn.qkv", "blocks.0.mlp.fc2", "blocks.1.attn.qkv", "blocks.1.mlp.fc2"]
    .map((name, i) => {
      const [height, width] = name.endsWith("qkv") ? [24, 8] : [8, 12];
      const [rank, alpha] = i === 3 ? [3, 1.5] : [2, 4];
      return {
        name,
        rank,
        alpha,
        loraA: uniform(rank * width, i),
        loraB: uniform(height * rank, 10 + i),
      };
    });
  const head = {
    hidden: 5,
    embedDim: 4,
    weight1: uniform(5 * 8, 20),
    bias1: uniform(5, 21),
    weight2: uniform(4 * 5, 22),
    bias2: uniform(4, 23),
  };
  const logitScale = Math.log(1 / 0.07);
  const input = { imgSize: 256, pool: "token", depth: 2 } as const;
  return { modules, head, logitScale, dropout: 0.1, rslora: true, baseModel: "vits16", input };
}

/** Registers a test with a folder for an adapter. */
function folderTest(name: string, fn: (folder: string) => Promise<void>): void {
  Deno.test(name, async () => {
    const folder = await Deno.makeTempDir();
    try {
      await fn(join(folder, "adapter"));
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}

/** The configuration that PEFT 0.21.2 wrote for two modules of rank 4, one of them overridden. */
const peftConfig = {
  alora_invocation_tokens: null,
  alpha_pattern: { "0.attn.qkv": 6 },
  arrow_config: null,
  auto_mapping: { base_model_class: "Eva", parent_library: "timm.models.eva" },
  base_model_name_or_path: null,
  bias: "none",
  corda_config: null,
  ensure_weight_tying: false,
  eva_config: null,
  exclude_modules: null,
  fan_in_fan_out: false,
  inference_mode: true,
  init_lora_weights: true,
  kasa_config: null,
  layer_replication: null,
  layers_pattern: null,
  layers_to_transform: null,
  loftq_config: {},
  lora_alpha: 8,
  lora_bias: false,
  lora_dropout: 0.05,
  lora_ga_config: null,
  megatron_config: null,
  megatron_core: "megatron.core",
  modules_to_save: null as string[] | null,
  monteclora_config: null,
  peft_type: "LORA",
  peft_version: "0.21.2",
  qalora_group_size: 16,
  r: 4,
  rank_pattern: { "attn.qkv": 2 },
  revision: null,
  target_modules: ["attn.qkv", "attn.proj"] as string[] | string,
  target_parameters: null,
  task_type: null,
  trainable_token_indices: null,
  use_bdlora: null,
  use_dora: false,
  use_qalora: false,
  use_rslora: false,
  velora_config: null,
};

const peftTensors: Record<string, number[]> = {
  "base_model.model.blocks.0.attn.proj.lora_A.weight": [4, 8],
  "base_model.model.blocks.0.attn.proj.lora_B.weight": [8, 4],
  "base_model.model.blocks.0.attn.qkv.lora_A.weight": [2, 8],
  "base_model.model.blocks.0.attn.qkv.lora_B.weight": [24, 2],
};

/** Writes a folder as PEFT would. */
async function writePeft(
  folder: string,
  options: Record<string, unknown>,
  shapes: Record<string, number[]>,
  metadata: Record<string, string> = { format: "pt" },
): Promise<void> {
  await Deno.mkdir(folder);
  await Deno.writeTextFile(join(folder, "adapter_config.json"), JSON.stringify(options));
  const tensors = Object.entries(shapes).map(([name, shape], i) => {
    const data = uniform(shape.reduce((product, n) => product * n), i);
    return [name, { shape, data }] as const;
  });
  const bytes = encodeSafetensors(new Map(tensors), metadata);
  await Deno.writeFile(join(folder, "adapter_model.safetensors"), bytes);
}

/** `shapes` with one part of every name replaced. */
function renamed(from: string, to: string): Record<string, number[]> {
  return Object.fromEntries(
    Object.entries(peftTensors).map(([name, shape]) => [name.replace(from, to), shape]),
  );
}

folderTest("readAdapter() returns what writeAdapter() wrote", async (folder) => {
  await writeAdapter(folder, makeAdapter());
  assert.deepEqual(await readAdapter(folder), makeAdapter());
});

folderTest("readAdapter() returns an adapter without head and temperature", async (folder) => {
  const adapter = { ...makeAdapter(), head: null, logitScale: null, baseModel: null, input: null };
  await writeAdapter(folder, adapter);
  assert.deepEqual(await readAdapter(folder), adapter);
});

Deno.test("encodeAdapter() writes the names, shapes and options that PEFT expects", () => {
  const files = encodeAdapter(makeAdapter());
  assert.deepEqual([...files.keys()], ["adapter_config.json", "adapter_model.safetensors"]);
  const { base_model_name_or_path, ...options } = JSON.parse(
    files.get("adapter_config.json") as string,
  );
  assert.equal(base_model_name_or_path, "vits16");
  assert.deepEqual(options, {
    alpha_pattern: { "blocks.1.mlp.fc2": 1.5 },
    auto_mapping: { base_model_class: "Eva", parent_library: "timm.models.eva" },
    bias: "none",
    fan_in_fan_out: false,
    inference_mode: true,
    init_lora_weights: true,
    layers_pattern: null,
    layers_to_transform: null,
    lora_alpha: 4,
    lora_dropout: 0.1,
    modules_to_save: ["head"],
    peft_type: "LORA",
    r: 2,
    rank_pattern: { "blocks.1.mlp.fc2": 3 },
    target_modules: ["attn.qkv", "mlp.fc2"],
    task_type: null,
    use_dora: false,
    use_rslora: true,
  });
  const bytes = files.get("adapter_model.safetensors") as Uint8Array<ArrayBuffer>;
  const { tensors, metadata } = parseSafetensors(bytes, "f");
  assert.deepEqual({ ...metadata }, {
    format: "pt",
    input: '{"imgSize":256,"pool":"token","depth":2}',
    logit_scale: "2.659260036932778",
  });
  assert.deepEqual([...tensors].map(([name, { shape }]) => `${name} ${shape}`), [
    "base_model.model.blocks.0.attn.qkv.lora_A.weight 2,8",
    "base_model.model.blocks.0.attn.qkv.lora_B.weight 24,2",
    "base_model.model.blocks.0.mlp.fc2.lora_A.weight 2,12",
    "base_model.model.blocks.0.mlp.fc2.lora_B.weight 8,2",
    "base_model.model.blocks.1.attn.qkv.lora_A.weight 2,8",
    "base_model.model.blocks.1.attn.qkv.lora_B.weight 24,2",
    "base_model.model.blocks.1.mlp.fc2.lora_A.weight 3,12",
    "base_model.model.blocks.1.mlp.fc2.lora_B.weight 8,3",
    "base_model.model.head.0.bias 5",
    "base_model.model.head.0.weight 5,8",
    "base_model.model.head.3.bias 4",
    "base_model.model.head.3.weight 4,5",
  ]);
});

Deno.test("encodeAdapter() names layers one by one where a block lacks a kind", () => {
  const adapter = makeAdapter();
  for (const kept of [[0, 1, 2], [2, 3]]) { // not in all blocks, not from the first block on
    const modules = kept.map((i) => adapter.modules[i]!);
    const files = encodeAdapter({ ...adapter, modules });
    const { target_modules } = JSON.parse(files.get("adapter_config.json") as string);
    assert.deepEqual(target_modules, modules.map(({ name }) => name));
  }
  assert.throws(() => encodeAdapter({ ...adapter, modules: [] }), RangeError);
});

folderTest("readAdapter() says which folder is meant", async (run) => {
  const fails = (path: string, message: string) =>
    assert.rejects(readAdapter(path), { message: `Cannot read ${message}` });
  const missing = `${join(run, "adapter_config.json")}: no such file`;
  await fails(run, missing);
  for (const name of ["last", "best_overall", "final"]) {
    await writeAdapter(join(run, name), makeAdapter());
    await fails(run, `${missing}, expected an adapter's folder, as ${join(run, name)}`);
  }
  for (const name of ["adapter_config.json", "adapter_model.safetensors"]) {
    const file = join(run, "final", name);
    await fails(file, `${file}: it is a file, expected its folder, ${join(run, "final")}`);
  }
});

folderTest("readAdapter() reads PEFT's files with rank and alpha patterns", async (folder) => {
  await writePeft(folder, peftConfig, peftTensors);
  const { modules, ...rest } = await readAdapter(folder);
  assert.deepEqual(modules.map(({ name, rank, alpha }) => [name, rank, alpha]), [
    ["blocks.0.attn.qkv", 2, 6],
    ["blocks.0.attn.proj", 4, 8],
  ]);
  const expected = {
    head: null,
    logitScale: null,
    dropout: 0.05,
    rslora: false,
    baseModel: null,
    input: null,
  };
  assert.deepEqual(rest, expected);
});

folderTest("readAdapter() orders modules as the model does", async (folder) => {
  const later = (block: string) => Object.entries(renamed("blocks.0", `blocks.${block}`));
  await writePeft(folder, peftConfig, Object.fromEntries([...later("10"), ...later("2")]));
  const { modules } = await readAdapter(folder);
  assert.deepEqual(modules.map(({ name }) => name), [
    "blocks.2.attn.qkv",
    "blocks.2.attn.proj",
    "blocks.10.attn.qkv",
    "blocks.10.attn.proj",
  ]);
});

for (const targets of [["attn.qkv", "proj"], "model\\.blocks\\.\\d+\\.attn\\.(qkv|proj)"]) {
  folderTest(
    `readAdapter() reads a wrapped model's adapter with targets ${targets}`,
    async (folder) => {
      const shapes = renamed("model.blocks", "model.model.blocks");
      await writePeft(folder, { ...peftConfig, target_modules: targets }, shapes);
      const { modules } = await readAdapter(folder);
      assert.deepEqual(modules.map(({ name }) => name), [
        "blocks.0.attn.qkv",
        "blocks.0.attn.proj",
      ]);
    },
  );
}

const refusedOptions: [options: Record<string, unknown>, message: string][] = [
  [{ use_dora: true }, 'option "use_dora" is true, which is not supported'],
  [{ bias: "lora_only" }, 'option "bias" is "lora_only", which is not supported'],
  [{ lora_bias: true }, 'option "lora_bias" is true, which is not supported'],
  [{ fan_in_fan_out: true }, 'option "fan_in_fan_out" is true, which is not supported'],
  [{ init_lora_weights: "pissa" }, 'option "init_lora_weights" is "pissa", which is not supported'],
  [{ option_of_tomorrow: 1 }, 'option "option_of_tomorrow" is 1, which is not supported'],
  [{ modules_to_save: ["head", "norm"] }, '"modules_to_save" has "norm", only "head" is supported'],
  [{ peft_type: "IA3" }, '"peft_type" is "IA3", expected "LORA"'],
  [{ r: undefined }, '"r" is missing, expected number'],
  [{ lora_alpha: undefined }, '"lora_alpha" is missing, expected number'],
  [{ target_modules: null }, '"target_modules" is null, expected string or array of strings'],
  [{ lora_dropout: 1 }, '"lora_dropout" is 1, expected number to be <1'],
  [{ rank_pattern: { qkv: 0 } }, '"rank_pattern.qkv" is 0, expected number to be >0'],
];
for (const [options, message] of refusedOptions) {
  folderTest(`readAdapter() refuses ${JSON.stringify(options)}`, async (folder) => {
    await writePeft(folder, { ...peftConfig, ...options }, peftTensors);
    const path = join(folder, "adapter_config.json");
    await assert.rejects(readAdapter(folder), {
      name: "TypeError",
      message: `Cannot load ${path}: ${message}`,
    });
  });
}

const layers = "expected only attn.qkv, attn.proj, mlp.fc1 (fc1_g, fc1_x) and mlp.fc2 of timm's " +
  '"blocks.<number>"';
const key = "base_model.model.blocks.0.attn.qkv";
const refusedTensors: [
  what: string,
  shapes: Record<string, number[]>,
  message: string,
  options?: Record<string, unknown>,
][] = [
  [
    "Hugging Face's layers",
    renamed("blocks.0.attn.qkv", "layer.0.attention.q_proj"),
    `it adapts "layer.0.attention.q_proj", ${layers}`,
  ],
  [
    "the patch embedding",
    renamed("blocks.0.attn.proj", "patch_embed.proj"),
    `it adapts "patch_embed.proj", ${layers}`,
  ],
  [
    "a layer that is no target",
    peftTensors,
    'it adapts "blocks.0.attn.qkv", which is not among the target_modules of its configuration',
    { target_modules: ["attn.proj"] },
  ],
  [
    "a layer that has but the end of its name among the targets",
    peftTensors,
    'it adapts "blocks.0.attn.qkv", which is not among the target_modules of its configuration',
    { target_modules: ["kv", "attn.proj"] },
  ],
  [
    "another rank",
    peftTensors,
    `tensor "${key}.lora_A.weight" is (2,8), expected (3,8)`,
    { rank_pattern: { "attn.qkv": 3 } },
  ],
  [
    "another rank of B",
    { ...peftTensors, [`${key}.lora_B.weight`]: [24, 3] },
    `tensor "${key}.lora_B.weight" is (24,3), expected (24,2)`,
  ],
  [
    "a magnitude vector",
    { ...peftTensors, [`${key}.lora_magnitude_vector`]: [24] },
    `tensor "${key}.lora_magnitude_vector" is not expected: ` +
    "neither lora_A, lora_B nor of a saved head",
  ],
  [
    "one layer of two towers",
    { ...peftTensors, ...renamed("model.blocks", "model.drone.blocks") },
    '"blocks.0.attn.proj" and "drone.blocks.0.attn.proj" both adapt "blocks.0.attn.proj"',
  ],
  ["no module", {}, "it has no lora_A, expected at least 1"],
  [
    "no head where one is announced",
    peftTensors,
    'tensor "base_model.model.head.0.weight" is missing',
    { modules_to_save: ["head"] },
  ],
];
for (const [what, shapes, message, options] of refusedTensors) {
  folderTest(`readAdapter() refuses ${what}`, async (folder) => {
    await writePeft(folder, { ...peftConfig, ...options }, shapes);
    const path = join(folder, "adapter_model.safetensors");
    await assert.rejects(readAdapter(folder), {
      name: "TypeError",
      message: `Cannot load ${path}: ${message}`,
    });
  });
}

folderTest(
  "readAdapter() refuses a missing B, a temperature that is no number, and a strange input",
  async (folder) => {
    const { [`${key}.lora_B.weight`]: _, ...shapes } = peftTensors;
    await writePeft(folder, peftConfig, shapes);
    await assert.rejects(readAdapter(folder), /lora_B.weight" is missing$/);
    await Deno.remove(folder, { recursive: true });
    await writePeft(folder, peftConfig, peftTensors, { logit_scale: "warm" });
    await assert.rejects(readAdapter(folder), /its logit_scale is "warm", expected a number$/);
    const good = { imgSize: 256, pool: "avg", depth: 2 };
    const strange = [
      ...[{ imgSize: 250 }, { pool: "max" }, { depth: 0 }, { depth: undefined }],
      { weights: "timm's" },
    ];
    for (const changes of strange) {
      await Deno.remove(folder, { recursive: true });
      const input = JSON.stringify({ ...good, ...changes });
      await writePeft(folder, peftConfig, peftTensors, { input });
      await assert.rejects(
        readAdapter(folder),
        /its input is .*, expected JSON with imgSize, a mul/,
      );
    }
  },
);

folderTest(
  "readAdapter() takes an adapter whatever chose its layers or began it",
  async (folder) => {
    await writePeft(folder, peftConfig, peftTensors);
    const plain = await readAdapter(folder);
    await Deno.remove(folder, { recursive: true });
    await writePeft(folder, {
      ...peftConfig,
      ...{ layers_to_transform: [0], layers_pattern: "blocks" },
      ...{ init_lora_weights: "eva", eva_config: { rho: 2, tau: 0.99 } },
    }, peftTensors);
    assert.deepEqual(await readAdapter(folder), plain);
  },
);

folderTest("readAdapter() names a configuration that it cannot read", async (folder) => {
  const path = join(folder, "adapter_config.json");
  await Deno.mkdir(path, { recursive: true });
  await assert.rejects(
    readAdapter(folder),
    (error: Error) => error.message.startsWith(`Cannot read ${path}: `),
  );
});

folderTest("readAdapter() names the file that is missing or is not JSON", async (folder) => {
  await assert.rejects(readAdapter(folder), {
    message: `Cannot read ${join(folder, "adapter_config.json")}: no such file`,
  });
  await writePeft(folder, peftConfig, peftTensors);
  await Deno.writeTextFile(join(folder, "adapter_config.json"), "{");
  await assert.rejects(readAdapter(folder), (error: Error) => {
    assert.equal(error.name, "SyntaxError");
    return error.message.startsWith(`Cannot load ${join(folder, "adapter_config.json")}: `);
  });
});

folderTest("readAdapter() takes the old folder if a writer was killed", async (folder) => {
  await writeAdapter(`${folder}.old`, makeAdapter());
  assert.deepEqual(await readAdapter(folder), makeAdapter());
});

Deno.test("checkAdapter() accepts layers and head of the backbone and refuses others", () => {
  const adapter = makeAdapter();
  checkAdapter(adapter, config);
  const refuse = (changes: object, message: string) =>
    assert.throws(() => checkAdapter(adapter, { ...config, ...changes }), {
      name: "TypeError",
      message: `Cannot use the adapter with ${config.name}${message}`,
    });
  refuse({ depth: 1 }, ' of 1 blocks: it adapts "blocks.1.attn.qkv", which is not in there');
  refuse(
    { gated: true, mlpHidden: 16 },
    ': the update of "blocks.0.mlp.fc2" is (8,12), expected (8,16)',
  );
  adapter.modules.length = 2;
  adapter.modules.shift();
  adapter.modules[0]!.loraA = uniform(2 * 12, 0);
  adapter.head!.weight1 = uniform(5 * 9, 0);
  refuse({}, ": head.0.weight is (5,9), expected (5,8)");
});

Deno.test("checkAdapter() refuses another backbone of the same size, where the adapter names one", () => {
  const large = modelConfig("vit_large_patch16_dinov3.lvd1689m", { depth: 1 });
  const options = { rank: 4, alpha: 8, dropout: 0, targets: ["attn.qkv"], head: null, seed: 0 };
  const of = (baseModel: string | null) => ({ ...initialAdapter(large, options), baseModel });
  for (const name of [null, "mine", "vitl16", "facebook/dinov3-vitl16-pretrain-lvd1689m"]) {
    checkAdapter(of(name), large);
  }
  for (const name of ["timm/vit_large_patch16_dinov3.sat493m", "vitl16.sat493m"]) {
    assert.throws(() => checkAdapter(of(name), large), {
      name: "TypeError",
      message: "Cannot use the adapter with vit_large_patch16_dinov3.lvd1689m: " +
        "it was trained on vit_large_patch16_dinov3.sat493m",
    });
  }
});

Deno.test("loraScaling() divides by the rank, or by its root with rsLoRA", () => {
  assert.equal(loraScaling(16, 32, false), 2);
  assert.equal(loraScaling(16, 32, true), 8);
});

folderTest("readAdapter() takes PEFT's defaults for options of later versions", async (folder) => {
  const { use_rslora: _, alpha_pattern: __, ...older } = peftConfig;
  await writePeft(folder, older, peftTensors);
  const { rslora, modules } = await readAdapter(folder);
  assert.equal(rslora, false);
  assert.deepEqual(modules.map(({ alpha }) => alpha), [8, 8]);
});

folderTest(
  "readAdapter() matches patterns at the beginning of a name, as PEFT does",
  async (folder) => {
    const options = { ...peftConfig, alpha_pattern: { "0\\.attn\\.qkv": 6 } };
    const tenth = Object.entries(renamed("blocks.0", "blocks.10"));
    await writePeft(folder, options, { ...peftTensors, ...Object.fromEntries(tenth) });
    const { modules } = await readAdapter(folder);
    const alphas = modules.filter(({ name }) => name.endsWith("qkv")).map(({ alpha }) => alpha);
    assert.deepEqual(alphas, [6, 8]); // of blocks 0 and 10
  },
);

folderTest("readAdapter() matches an expression with whole paths of layers", async (folder) => {
  for (const part of ["attn\\.(qkv|proj)", "blocks\\.0\\.attn"]) {
    await writePeft(folder, { ...peftConfig, target_modules: part }, peftTensors);
    await assert.rejects(readAdapter(folder), /which is not among the target_modules/);
    await Deno.remove(folder, { recursive: true });
  }
});

for (const pattern of ["a*b*c*d*e*", "a".repeat(1001)]) {
  folderTest(
    `readAdapter() refuses a pattern of ${pattern.length} characters that could take forever`,
    async (folder) => {
      await writePeft(folder, { ...peftConfig, rank_pattern: { [pattern]: 2 } }, peftTensors);
      await assert.rejects(readAdapter(folder), /could take forever: expected at most 4 of /);
    },
  );
}

folderTest("readAdapter() refuses an empty temperature", async (folder) => {
  await writePeft(folder, peftConfig, peftTensors, { logit_scale: " " });
  await assert.rejects(readAdapter(folder), /its logit_scale is " ", expected a number$/);
});

Deno.test("checkAdapter() takes a name without tag for weights of any training data", () => {
  const sat = modelConfig("vitl16.sat493m", { depth: 1 });
  const options = { rank: 4, alpha: 8, dropout: 0, targets: ["attn.qkv"], head: null, seed: 0 };
  checkAdapter({ ...initialAdapter(sat, options), baseModel: "vitl16" }, sat);
});

folderTest("readAdapter() refuses a path too long to be matched", async (folder) => {
  const long = `${"a.".repeat(40)}blocks.0`; // 89 characters with its layer
  await writePeft(folder, peftConfig, renamed("blocks.0", long));
  await assert.rejects(readAdapter(folder), /expected at most 80 characters$/);
});

folderTest("readAdapter() returns a temperature of 1, whose logarithm is 0", async (folder) => {
  await writeAdapter(folder, { ...makeAdapter(), logitScale: 0 });
  assert.equal((await readAdapter(folder)).logitScale, 0);
});
