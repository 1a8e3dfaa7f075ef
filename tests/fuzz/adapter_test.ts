import assert from "node:assert/strict";
import { join } from "node:path";
import { type Adapter, encodeAdapter, readAdapter } from "../../model/adapter.ts";
import { parseSafetensors } from "../../model/safetensors.ts";
import { smallCheckpoint } from "../faults/small_checkpoint.ts";
import { type Choices, fuzz, jsonText, mutateBytes, mutateJson, TEXTS } from "./fuzz.ts";

const FILES = encodeAdapter(smallCheckpoint(1).adapter);
const CONFIG = FILES.get("adapter_config.json") as string;
const TENSORS = FILES.get("adapter_model.safetensors") as Uint8Array;

/** Expressions on which a backtracking engine can spend years, and some that are none. */
const PATTERNS = [
  ...["(a+)+$", "(.*)*x", "(.|.)*x", "(?:[a-z.]|[a-z0-9.]){40}y", "((.*)+)+z", "(a?){40}a{40}"],
  ...[
    ".*.*.*.*.*.*.*.*.*.*.*x",
    "a?a?a?a?a?a?a?a?a?aaaaaaaaa",
    "(.*)\\1(.*)\\2(.*)\\3x",
    "(",
    "[z-a]",
  ],
  ...["*", "\\", "(?<n>a)(?<n>b)", "^(?=(.*))\\1x$", ".*\\.attn\\.(qkv|proj)", "x".repeat(5000)],
];

/** Long enough for them, and short enough to be matched. */
const LONG_NAME = `${"a".repeat(55)}.blocks.0`;

function damagedConfig(choices: Choices): string {
  switch (choices.below(4)) {
    case 0:
      return new TextDecoder().decode(mutateBytes(choices, new TextEncoder().encode(CONFIG)));
    case 1:
      return jsonText({ ...JSON.parse(CONFIG), target_modules: choices.of(PATTERNS) });
    case 2: {
      const key = choices.of(["rank_pattern", "alpha_pattern"]);
      return jsonText({ ...JSON.parse(CONFIG), [key]: { [choices.of(PATTERNS)]: 2 } });
    }
    default:
      return jsonText(mutateJson(choices, JSON.parse(CONFIG)));
  }
}

/** The tensors, in part under other names: longer, in wrappers, of layers that there are not. */
function damagedTensors(choices: Choices): Uint8Array {
  if (choices.below(2) === 0) return mutateBytes(choices, TENSORS);
  const length = Number(new DataView(TENSORS.buffer).getBigUint64(0, true));
  const scale = choices.of(["2.5", "-1e3", ...TEXTS]);
  const start = choices.of(["blocks.0", "blocks.7", "wrapper.blocks.0", LONG_NAME, "norm.0"]);
  const text = new TextDecoder().decode(TENSORS.subarray(8, 8 + length)).trimEnd()
    .replaceAll("base_model.model.blocks.0", `base_model.model.${start}`)
    .replace('"2.5"', JSON.stringify(scale));
  const header = new TextEncoder().encode(text);
  const bytes = new Uint8Array(TENSORS.length - length + header.length);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(header.length), true);
  bytes.set(header, 8);
  bytes.set(TENSORS.subarray(8 + length), 8 + header.length);
  return bytes;
}

/** All numbers are finite, and what is written again is read as the same. */
async function confirm(adapter: Adapter, folder: string): Promise<void> {
  assert(adapter.modules.length > 0);
  for (const { name, rank, alpha, loraA, loraB } of adapter.modules) {
    assert.match(name, /^blocks\.\d+\.(attn|mlp)\.\w+$/);
    assert(Number.isInteger(rank) && rank > 0 && Number.isFinite(alpha));
    assert(loraA.length % rank === 0 && loraB.length % rank === 0);
    assert([...loraA, ...loraB].every(Number.isFinite));
  }
  assert(adapter.dropout >= 0 && adapter.dropout < 1);
  assert(adapter.logitScale === null || Number.isFinite(adapter.logitScale));
  const files = encodeAdapter(adapter);
  parseSafetensors(files.get("adapter_model.safetensors") as Uint8Array<ArrayBuffer>, "again");
  for (const [name, content] of files) await write(join(folder, name), content);
  assert.deepEqual(await readAdapter(folder), adapter);
}

async function write(path: string, content: Uint8Array | string): Promise<void> {
  await (typeof content === "string" ? Deno.writeTextFile : Deno.writeFile)(path, content as never);
}

Deno.test("readAdapter() refuses damaged folders, or reads an adapter", async () => {
  const folder = await Deno.makeTempDir();
  await fuzz<Adapter>({
    cases: 2500,
    cap: 2 ** 20,
    async make(choices) {
      const isConfig = choices.below(3) > 0;
      const config = isConfig ? damagedConfig(choices) : CONFIG;
      const tensors = isConfig && choices.below(2) === 0 ? TENSORS : damagedTensors(choices);
      await Deno.writeTextFile(join(folder, "adapter_config.json"), config);
      await Deno.writeFile(join(folder, "adapter_model.safetensors"), tensors);
      return {
        input: [config, new TextDecoder().decode(tensors).slice(0, 800)],
        run: () => readAdapter(folder),
        confirm: (adapter) => confirm(adapter, folder),
      };
    },
  });
  await Deno.remove(folder, { recursive: true });
});
