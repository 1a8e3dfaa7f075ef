import assert from "node:assert/strict";
import { join } from "node:path";
import {
  encodeSafetensors,
  parseSafetensors,
  readSafetensors,
  type SafetensorsFile,
  toFloat32,
} from "../../model/safetensors.ts";
import { uniform } from "../testing.ts";
import { anyValue, type Choices, fuzz, jsonText, mutateBytes, mutateJson } from "./fuzz.ts";

const SIZES = new Map(
  Object.entries({ F32: 4, F64: 8, F16: 2, BF16: 2, U8: 1, I64: 8, F4: 0.5 }),
);

const HEADER = {
  __metadata__: { format: "pt", logit_scale: "2.5" },
  "a.weight": { dtype: "F32", shape: [2, 3], data_offsets: [0, 24] },
  "a.bias": { dtype: "F16", shape: [4], data_offsets: [24, 32] },
  scalar: { dtype: "F64", shape: [], data_offsets: [32, 40] },
  empty: { dtype: "BF16", shape: [0, 7], data_offsets: [40, 40] },
};

/** A file with this header, and as much data as it should have. */
function fileOf(header: string, announced?: number): Uint8Array<ArrayBuffer> {
  const text = new TextEncoder().encode(header);
  const bytes = new Uint8Array(8 + text.length + 40);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(announced ?? text.length), true);
  bytes.set(text, 8);
  bytes.set(new Uint8Array(uniform(10, 1).buffer), 8 + text.length);
  return bytes;
}

function damagedFile(choices: Choices): Uint8Array<ArrayBuffer> {
  switch (choices.below(5)) {
    case 0:
      return fileOf(jsonText(mutateJson(choices, HEADER)));
    case 1:
      return mutateBytes(choices, fileOf(JSON.stringify(HEADER)));
    case 2: { // other types and shapes of the right size
      const dtype = choices.of(["F32", "F64", "F16", "BF16", "U8", "I64", "F4", "Q9", "f32"]);
      const shape = choices.of([[10], [5], [20], [40], [2, 5], [80], [0], [-1, -10], [1.5], []]);
      const data_offsets = choices.of([[0, 40], [0, 0], [40, 40], [40, 0], [0, 1e300], [0, 41]]);
      return fileOf(JSON.stringify({ x: { dtype, shape, data_offsets } }));
    }
    case 3:
      return fileOf(JSON.stringify(HEADER), choices.of([0, 1, 2 ** 31, 2 ** 53, 48, 1e8, 1e8 + 1]));
    default:
      return fileOf(choices.of([
        "",
        "{",
        "[".repeat(50_000),
        `{"__metadata__":{"x":${"[".repeat(50_000)}${"]".repeat(50_000)}}}`,
        '{"a":'.repeat(10_000),
        '{"a":{},"a":{}}',
        '{"\\u0061":{"dtype":"F32"},"a":1}',
        "{}" + " ".repeat(1000),
        "\ufeff{}",
        jsonText({ x: anyValue(choices) }),
      ]));
  }
}

/** What the file says, read a second time in the plainest way. */
function confirm(file: SafetensorsFile, bytes: Uint8Array): void {
  const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
  delete header.__metadata__;
  assert.deepEqual([...file.tensors.keys()].sort(), Object.keys(header).sort());
  const ranges: [number, number][] = [];
  for (const [name, { dtype, shape, bytes: view }] of file.tensors) {
    const [begin, end] = header[name].data_offsets;
    assert.deepEqual({ dtype, shape }, { dtype: header[name].dtype, shape: header[name].shape });
    assert.equal(view.byteOffset, 8 + length + begin);
    assert.equal(view.length, end - begin);
    const size = SIZES.get(dtype);
    if (size !== undefined) assert.equal(shape.reduce((a, b) => a * b, size), view.length);
    if (view.length > 0) ranges.push([begin, end]);
  }
  ranges.sort(([a], [b]) => a - b);
  const sum = ranges.reduce((at, [begin, end]) => (assert.equal(begin, at), end), 0);
  assert.equal(sum, bytes.length - 8 - length);
}

Deno.test("parseSafetensors() refuses damaged files, or reads what they say", () =>
  fuzz<SafetensorsFile>({
    cases: 6000,
    cap: 2 ** 20,
    make(choices) {
      const bytes = damagedFile(choices);
      return {
        input: new TextDecoder().decode(bytes),
        run: () => parseSafetensors(bytes, "file"),
        confirm: (file) => confirm(file, bytes),
      };
    },
  }));

Deno.test("readSafetensors() and toFloat32() refuse damaged files, or read finite numbers", async () => {
  const folder = await Deno.makeTempDir();
  const path = join(folder, "file.safetensors");
  const shape = [3, 5];
  const good = encodeSafetensors(new Map([["x", { shape, data: uniform(15, 2) }]]));
  await fuzz<Float32Array>({
    cases: 1000,
    cap: 2 ** 20,
    async make(choices) {
      const bytes = mutateBytes(choices, good);
      await Deno.writeFile(path, bytes);
      return {
        input: new TextDecoder().decode(bytes),
        run: async () => toFloat32(await readSafetensors(path), "x", shape),
        confirm(values) {
          assert.equal(values.length, 15);
          const stored = new Float32Array(bytes.slice(-60).buffer);
          assert.deepEqual(values, stored);
          assert(values.every(Number.isFinite));
        },
      };
    },
  });
  await Deno.remove(folder, { recursive: true });
});
