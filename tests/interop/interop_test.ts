/**
 * Files of timm, PEFT and transformers here, and ours there. The first half reads what they wrote
 * into `files`; the second runs them, where `INTEROP_PYTHON` or a `.venv` in the project's folder has
 * the packages of `requirements.txt`.
 */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { loadEmbedder, type LoadOptions } from "../../load_embedder.ts";
import { type Adapter, readAdapter, writeAdapter } from "../../model/adapter.ts";
import { modelConfig } from "../../model/config.ts";
import { randomBackbone } from "../../model/hash_rule.ts";
import { initialAdapter, LORA_TARGETS } from "../../model/init.ts";
import { readSafetensors, toFloat32, writeSafetensors } from "../../model/safetensors.ts";
import { backboneOfTensors, loadBackbone, timmTensors } from "../../model/weights.ts";
import { runCommand } from "../scripts/command.ts";
import { assertClose, GPU_OFF, relativeL2, uniform } from "../testing.ts";

const HERE = dirname(fileURLToPath(import.meta.url));
const FILES = join(HERE, "files");

const SMALL = modelConfig("vits16");
/** The model of `files`. */
const TINY = { ...modelConfig("vits16", { depth: 2 }), embedDim: 64, heads: 1, mlpHidden: 512 };

// Embeddings have length 1. Both sides sum in f32; with these adapters they differ by up to 1e-6.
const TOLERANCE = { atol: 1e-4, rtol: 0 };

const imgSize = 48;

async function pixels(): Promise<Uint8Array> {
  return (await readSafetensors(join(FILES, "expected.safetensors"))).tensors.get("pixels")!.bytes;
}

/** Embeddings of the pixels in f32, as geolora makes them. */
async function embed(options: LoadOptions): Promise<Float32Array> {
  using model = await loadEmbedder({ ...options, imgSize, images: 2, precision: "f32" });
  return await model.embedder.embed(await pixels());
}

/** Registers checks of a folder that `interop.py make` wrote. */
async function checkFiles(t: Deno.TestContext, folder: string): Promise<void> {
  const expected = await readSafetensors(join(folder, "expected.safetensors"));
  for (const file of ["timm", "hugging_face"]) {
    await t.step(`weights of ${file} give its embeddings`, async () => {
      const weights = await loadBackbone(join(folder, `${file}.safetensors`), TINY);
      assertClose(await embed({ weights }), toFloat32(expected, "backbone"), TOLERANCE);
    });
  }
  await t.step("an adapter of PEFT gives its embeddings", async () => {
    const weights = await loadBackbone(join(folder, "timm.safetensors"), TINY);
    const found = await embed({ weights, adapter: join(folder, "adapter") });
    assertClose(found, toFloat32(expected, "adapter"), TOLERANCE);
    // What is tested matters: without low-rank updates the head gives something else.
    const adapter = await readAdapter(join(folder, "adapter"));
    const bare = await embed({ weights, adapter: { ...adapter, modules: [] } });
    assert(relativeL2(bare, found) > 0.01);
  });
  await t.step("its options that geolora does not compute are refused by name", async () => {
    const configs = JSON.parse(await Deno.readTextFile(join(folder, "refused.json")));
    assert.equal(Object.keys(configs).length, 7);
    const adapter = await Deno.makeTempDir();
    for (const [option, config] of Object.entries(configs)) {
      await Deno.writeTextFile(join(adapter, "adapter_config.json"), JSON.stringify(config));
      await assert.rejects(readAdapter(adapter), {
        name: "TypeError",
        message: new RegExp(`^Cannot load .*adapter_config\\.json: .*"${option}"`),
      });
    }
    await Deno.remove(adapter, { recursive: true });
  });
}

/** An adapter of the small backbone with nothing at its initial value. */
function makeAdapter(targets: readonly string[], head: boolean): Adapter {
  const adapter = initialAdapter(SMALL, {
    rank: 4,
    alpha: 6,
    dropout: 0.1,
    targets,
    head: head ? { hidden: 32, embedDim: 16 } : null,
    seed: 1,
  });
  // Updates of about the size of the weights; larger ones make f32 itself differ by 1e-4.
  adapter.modules.forEach(({ loraB }, i) => loraB.set(uniform(loraB.length, i).map((x) => x / 16)));
  return adapter;
}

/** With ranks and alphas that differ from layer to layer. */
function withPatterns(adapter: Adapter): Adapter {
  const modules = adapter.modules.map((module, i) => {
    if (i % 5 !== 2) return module;
    const rank = 3;
    const [width, height] = [module.loraA.length, module.loraB.length].map((size) => size / 4);
    return {
      ...module,
      rank,
      alpha: 2 + i / 8,
      loraA: module.loraA.slice(0, rank * width!),
      loraB: module.loraB.slice(0, rank * height!),
    };
  });
  return { ...adapter, modules, rslora: true };
}

/** Python with the packages, or null. */
function findPython(): string | null {
  const venv = join(HERE, "../../.venv");
  const places = [join(venv, "bin/python"), join(venv, "Scripts/python.exe")];
  return Deno.env.get("INTEROP_PYTHON") ?? places.find((path) => existsSync(path)) ?? null;
}

const python = findPython();

async function runPython(...args: string[]): Promise<void> {
  const { success, stderr } = await new Deno.Command(python!, {
    args: [join(HERE, "interop.py"), ...args],
    env: { PYTHONDONTWRITEBYTECODE: "1" },
    stdout: "null",
    stderr: "piped",
  }).output();
  assert(success, new TextDecoder().decode(stderr));
}

Deno.test({
  name: "files of timm, transformers and PEFT give their embeddings",
  ignore: GPU_OFF,
  fn: (t) => checkFiles(t, FILES),
});

Deno.test({
  name: "files that timm, transformers and PEFT write now give their embeddings",
  ignore: GPU_OFF || python === null,
  fn: async (t) => {
    const folder = await Deno.makeTempDir();
    await runPython("make", folder);
    await checkFiles(t, folder);
    await Deno.remove(folder, { recursive: true });
  },
});

Deno.test({
  name: "timm and PEFT give our embeddings from our files",
  ignore: GPU_OFF || python === null,
  fn: async (t) => {
    const folder = await Deno.makeTempDir();
    const at = (name: string) => join(folder, name);
    const weights = backboneOfTensors(randomBackbone(SMALL, 0), SMALL);
    await writeSafetensors(at("weights.safetensors"), timmTensors(weights));
    const plain = makeAdapter(LORA_TARGETS, true);
    const some = makeAdapter(["attn.proj", "mlp.fc1"], false);
    const adapters: Record<string, Adapter> = {
      plain,
      patterns: withPatterns(plain),
      headless: { ...some, modules: some.modules.slice(-5) },
    };
    for (const [name, adapter] of Object.entries(adapters)) await writeAdapter(at(name), adapter);
    // In a process of its own: the command gives up the permission to run Python.
    const { code, stderr } = await runCommand("export", [
      "--merged",
      ...["--adapter", at("patterns"), "--weights", at("weights.safetensors")],
      ...["--output", at("merged.safetensors")],
    ]);
    assert.equal(code, 0, stderr);
    await runPython("embed", folder);
    const theirs = await readSafetensors(at("embeddings.safetensors"));
    assert.equal(theirs.tensors.size, 4);
    for (const [name, adapter] of Object.entries({ ...adapters, merged: adapters.patterns! })) {
      await t.step(`${name}, through ${name === "merged" ? "timm" : "PEFT"}`, async () => {
        const ours = await embed({ weights, adapter });
        assertClose(toFloat32(theirs, name), ours, TOLERANCE);
      });
    }
    await Deno.remove(folder, { recursive: true });
  },
});
