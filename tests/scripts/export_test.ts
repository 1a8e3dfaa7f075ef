import assert from "node:assert/strict";
import { join } from "node:path";
import { type Adapter, writeAdapter } from "../../model/adapter.ts";
import { parameterShapes } from "../../model/config.ts";
import { mergeAdapter } from "../../model/merge.ts";
import { readSafetensors, toFloat32, writeSafetensors } from "../../model/safetensors.ts";
import { main } from "../../scripts/export.ts";
import { assertClose } from "../testing.ts";
import { tinyAdapter, tinyBackbone, tinyConfig } from "../model/tiny.ts";
import { tinyWeights } from "./tiny_world.ts";

const EXACT = { atol: 0, rtol: 0 };

/** The file that the command writes of an adapter. */
async function exported(trained: Adapter): ReturnType<typeof readSafetensors> {
  const folder = await Deno.makeTempDir();
  const at = (name: string) => join(folder, name);
  const { error } = console;
  try {
    const adapter = { ...trained, input: { imgSize: 32, pool: "avg", depth: 1 } as const };
    await writeAdapter(at("adapter"), adapter); // which says how deep the backbone is
    await writeSafetensors(at("weights.safetensors"), tinyWeights());
    console.error = () => {};
    await main([
      ...["--adapter", at("adapter"), "--weights", at("weights.safetensors")],
      ...["--merged", "--output", at("merged.safetensors")],
    ]);
    return await readSafetensors(at("merged.safetensors"));
  } finally {
    console.error = error;
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("export --merged writes timm's names, the updates, and the head", async () => {
  const adapter = tinyAdapter();
  const file = await exported(adapter);
  const config = tinyConfig();
  const head = adapter.head!;
  const heads: Record<string, [number[], Float32Array]> = {
    "head.0.weight": [[16, 384], head.weight1],
    "head.0.bias": [[16], head.bias1],
    "head.3.weight": [[8, 16], head.weight2],
    "head.3.bias": [[8], head.bias2],
  };
  const names = [...parameterShapes(config).keys(), ...Object.keys(heads)];
  assert.deepEqual([...file.tensors.keys()].sort(), names.sort());
  for (const [name, [shape, values]] of Object.entries(heads)) {
    assertClose(toFloat32(file, name, shape), values, EXACT);
  }
  const backbone = tinyBackbone(config);
  const name = "blocks.0.attn.qkv.weight";
  const merged = toFloat32(file, name, [1152, 384]);
  assertClose(merged, mergeAdapter(backbone, adapter).get(name)!.data, EXACT);
  assert.notEqual(merged[0], backbone.get(name)[0]);
  assert.equal(file.metadata.format, "pt"); // or transformers would not open it
});

Deno.test("export --merged writes no head where there is none", async () => {
  const file = await exported(tinyAdapter(tinyConfig(), { head: null }));
  assert.deepEqual(
    [...file.tensors.keys()].sort(),
    [...parameterShapes(tinyConfig()).keys()].sort(),
  );
});

Deno.test("export says what to do instead of ONNX, and wants a format", async () => {
  const files = ["--adapter", "none", "--output", "none"];
  await assert.rejects(main([...files, "--onnx"]), {
    name: "UsageError",
    message: /^Cannot export ONNX: .*--merged.*torch\.onnx\.export/,
  });
  await assert.rejects(main(files), {
    name: "UsageError",
    message: "Cannot run export: give --merged",
  });
});
