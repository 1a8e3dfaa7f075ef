import assert from "node:assert/strict";
import { join } from "node:path";
import { modelConfig, parameterShapes } from "../../model/config.ts";
import { hashed, randomBackbone } from "../../model/hash_rule.ts";
import {
  parseSafetensors,
  readSafetensors,
  toFloat32,
  writeSafetensors,
} from "../../model/safetensors.ts";
import { backboneOfTensors, digestOf } from "../../model/weights.ts";
import { checkWeights, main } from "../../scripts/weights.ts";

/** Registers a test with an empty folder. */
function folderTest(name: string, fn: (folder: string) => Promise<void>): void {
  Deno.test(name, async () => {
    const folder = await Deno.makeTempDir();
    try {
      await fn(folder);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}

folderTest("main() --random writes a backbone that checkWeights() accepts", async (folder) => {
  const output = join(folder, "random.safetensors");
  await main(["--random", "vits16", "--seed", "3", "--output", output]);
  const config = modelConfig("vits16");
  const { sha256, digest, ...summary } = await checkWeights(output, config);
  assert.deepEqual(summary, { parameters: 21_586_944, dtypes: ["F32"], qvBias: false });
  assert.match(sha256, /^[0-9a-f]{64}$/);
  assert.equal(digest, digestOf(backboneOfTensors(randomBackbone(config, 3), config)));
  const name = "blocks.11.attn.proj.bias";
  const file = await readSafetensors(output);
  assert.deepEqual(toFloat32(file, name), hashed(name, [384], 3));
});

folderTest(
  "checkWeights() refuses a value that is not finite, and hashes the file",
  async (folder) => {
    const path = join(folder, "small.safetensors");
    const config = { ...modelConfig("vits16", { depth: 1 }), embedDim: 8, mlpHidden: 8 };
    const tensors = new Map(
      [...parameterShapes(config)].map(([name, shape]) =>
        [name, { shape, data: hashed(name, shape, 0) }] as const
      ),
    );
    await writeSafetensors(path, tensors);
    const bytes = await Deno.readFile(path);
    const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
    assert.equal((await checkWeights(path, config)).sha256, digest.toHex());

    toFloat32(parseSafetensors(bytes, path), "norm.bias")[0] = NaN; // a view of the bytes
    await Deno.writeFile(path, bytes);
    await assert.rejects(checkWeights(path, config), {
      message:
        `Cannot load ${path}: value 0 of tensor "norm.bias" is NaN, expected a finite number`,
    });
  },
);

Deno.test("main() refuses flags that do not go together", async () => {
  const output = ["--output", "random.safetensors"];
  const refusals: [args: string[], problem: string][] = [
    [["--random", "vits16"], "--random needs --output"],
    [output, "--output belongs to --random"],
    [["--check", "model.safetensors", "--seed", "7"], "--seed belongs to --random"],
    [
      ["--random", "vits16", ...output, "--model", "vitb16"],
      "--model belongs to --check, or to a download",
    ],
    [["--check", "model.safetensors", ...output], "--output belongs to --random"],
    [
      ["--check", "model.safetensors", "--random", "vits16", ...output],
      "give either --check or --random",
    ],
  ];
  for (const [args, problem] of refusals) {
    await assert.rejects(main(args), {
      name: "UsageError",
      message: `Cannot run weights: ${problem}`,
    });
  }
});
