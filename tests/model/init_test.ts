import assert from "node:assert/strict";
import { modelConfig } from "../../model/config.ts";
import { type AdapterOptions, initialAdapter, LORA_TARGETS } from "../../model/init.ts";

const config = modelConfig("vits16", { depth: 2 });
const gated = modelConfig("vits16plus", { depth: 2 });

const OPTIONS: AdapterOptions = {
  rank: 8,
  alpha: 16,
  dropout: 0.1,
  targets: LORA_TARGETS,
  head: { hidden: 128, embedDim: 64 },
  seed: 1,
};

/** Fails unless the values look uniform in [-bound, bound). */
function assertUniform(name: string, values: Float32Array, bound: number): void {
  const [n, largest] = [values.length, values.reduce((most, x) => Math.max(most, Math.abs(x)), 0)];
  assert(largest <= bound, `${name}: ${largest} is past ${bound}`);
  assert(largest > bound * (1 - 20 / n), `${name}: ${largest} is far from ${bound}`);
  // Deviations of mean and mean square of n values of [-1, 1) are sqrt(1 / 3n) and sqrt(4 / 45n).
  const mean = values.reduce((sum, x) => sum + x / bound, 0) / n;
  const square = values.reduce((sum, x) => sum + (x / bound) ** 2, 0) / n;
  assert(Math.abs(mean) < 5 * Math.sqrt(1 / (3 * n)), `${name}: mean ${mean}`);
  assert(Math.abs(square - 1 / 3) < 5 * Math.sqrt(4 / (45 * n)), `${name}: mean square ${square}`);
}

Deno.test("initialAdapter() adapts every target of every block, in the model's order", () => {
  const { modules, ...rest } = initialAdapter(config, OPTIONS);
  const sizes = { "attn.qkv": [384, 1152], "attn.proj": [384, 384] };
  const mlp = { "mlp.fc1": [384, 1536], "mlp.fc2": [1536, 384] };
  const layers = Object.entries({ ...sizes, ...mlp });
  assert.deepEqual(
    modules.map((
      { name, rank, alpha, loraA, loraB },
    ) => [name, rank, alpha, loraA.length / rank, loraB.length / rank]),
    [0, 1].flatMap((i) => layers.map(([name, size]) => [`blocks.${i}.${name}`, 8, 16, ...size])),
  );
  const { head: _, ...facts } = rest;
  assert.deepEqual(facts, {
    logitScale: Math.log(1 / 0.07),
    dropout: 0.1,
    rslora: false,
    baseModel: "vit_small_patch16_dinov3.lvd1689m",
    input: null,
  });
});

Deno.test("initialAdapter() takes mlp.fc1 for both halves of a gated MLP", () => {
  const names = (targets: string[]) =>
    initialAdapter(gated, { ...OPTIONS, targets }).modules.map(({ name }) => name);
  assert.deepEqual(names(["mlp.fc1"]).sort(), [
    "blocks.0.mlp.fc1_g",
    "blocks.0.mlp.fc1_x",
    "blocks.1.mlp.fc1_g",
    "blocks.1.mlp.fc1_x",
  ]);
  assert.deepEqual(names(["mlp.fc1_x"]), ["blocks.0.mlp.fc1_x", "blocks.1.mlp.fc1_x"]);
});

Deno.test("initialAdapter() draws A and the head as PyTorch does, and B is zero", () => {
  const { modules, head } = initialAdapter(config, OPTIONS);
  for (const { name, rank, loraA, loraB } of modules) {
    assertUniform(name, loraA, 1 / Math.sqrt(loraA.length / rank));
    assert(loraB.every((x) => x === 0), name);
  }
  const { weight1, bias1, weight2, bias2 } = head!;
  const lengths = [weight1, bias1, weight2, bias2].map(({ length }) => length);
  assert.deepEqual(lengths, [128 * 384, 128, 64 * 128, 64]);
  assertUniform("weight1", weight1, 1 / Math.sqrt(384));
  assertUniform("bias1", bias1, 1 / Math.sqrt(384));
  assertUniform("weight2", weight2, 1 / Math.sqrt(128));
  assertUniform("bias2", bias2, 1 / Math.sqrt(128));
});

Deno.test("initialAdapter() gives every matrix and every seed its own values", () => {
  const matrices = (seed: number) => {
    const { modules, head } = initialAdapter(config, { ...OPTIONS, seed });
    const { weight1, bias1, weight2, bias2 } = head!;
    return [...modules.map(({ loraA }) => loraA), weight1, bias1, weight2, bias2];
  };
  assert.deepEqual(matrices(1), matrices(1));
  const firsts = [...matrices(1), ...matrices(2)].map(([first]) => first);
  assert.equal(new Set(firsts).size, firsts.length);
});

Deno.test("initialAdapter() without a head has none", () => {
  assert.equal(initialAdapter(config, { ...OPTIONS, head: null }).head, null);
});

Deno.test("initialAdapter() refuses targets that are no layers, or given twice", () => {
  const bad = [["qkv"], ["attn.qkv", "mlp.fc3"], [""], ["norm1"], ["attn.qkv", "attn.qkv"]];
  for (const targets of [...bad, ["mlp.fc1_g"], ["blocks.0.attn.qkv"], ["attn_qkv"]]) {
    assert.throws(
      () => initialAdapter(config, { ...OPTIONS, targets }),
      new RangeError(
        `Cannot adapt "${targets}" of vit_small_patch16_dinov3.lvd1689m: expected some of ` +
          "attn.qkv, attn.proj, mlp.fc1, mlp.fc2",
      ),
    );
  }
});
