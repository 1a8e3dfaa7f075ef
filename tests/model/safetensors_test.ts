import assert from "node:assert/strict";
import { join } from "node:path";
import {
  encodeSafetensors,
  parseSafetensors,
  readSafetensors,
  toFloat32,
  writeSafetensors,
} from "../../model/safetensors.ts";

/** A file of this header and so many bytes of data, 0, 1, 2, ... */
function fileOf(header: string | Uint8Array, data: number): Uint8Array<ArrayBuffer> {
  const head = typeof header === "string" ? new TextEncoder().encode(header) : header;
  const bytes = new Uint8Array(8 + head.length + data);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(head.length), true);
  bytes.set(head, 8);
  bytes.set(Array.from({ length: data }, (_, i) => i), 8 + head.length);
  return bytes;
}

/** The JSON of one entry. */
function entry(dtype: string, shape: number[], begin: number, end: number): string {
  return JSON.stringify({ dtype, shape, data_offsets: [begin, end] });
}

const tensors = new Map([
  ["b", { shape: [2, 3], data: Float32Array.of(-2.5, -1.5, -0.5, 0.5, 1.5, 2.5) }],
  ["a.weight", { shape: [1], data: Float32Array.of(1.5) }],
  ["empty", { shape: [0, 4], data: new Float32Array() }],
  ["é", { shape: [], data: Float32Array.of(7) }],
]);

Deno.test("encodeSafetensors() writes what the reference writer does", () => {
  // The header that safetensors 0.8.0 (Python) wrote for these tensors, with its padding.
  const header = '{"__metadata__":{"k":"\\"quoted\\" é"},' +
    '"a.weight":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},' +
    '"b":{"dtype":"F32","shape":[2,3],"data_offsets":[4,28]},' +
    '"empty":{"dtype":"F32","shape":[0,4],"data_offsets":[28,28]},' +
    '"é":{"dtype":"F32","shape":[],"data_offsets":[28,32]}}  ';
  const expected = fileOf(header, 32);
  expected.set(
    new Uint8Array(Float32Array.of(1.5, -2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 7).buffer),
    expected.length - 32,
  );
  assert.deepEqual(encodeSafetensors(tensors, { k: '"quoted" é' }), expected);
});

Deno.test("encodeSafetensors() stores a view's part, not its whole buffer", () => {
  const data = Float32Array.of(1, 2, 3, 4).subarray(1, 3);
  const file = parseSafetensors(encodeSafetensors(new Map([["v", { shape: [2], data }]])), "f");
  assert.deepEqual(toFloat32(file, "v"), Float32Array.of(2, 3));
});

Deno.test("encodeSafetensors() refuses values that toFloat32() would not read", () => {
  for (const value of [NaN, Infinity, -Infinity]) {
    const data = Float32Array.of(1, value);
    assert.throws(
      () => encodeSafetensors(new Map([["w", { shape: [2], data }]])),
      new TypeError(`Cannot store tensor "w": value 1 is ${value}, expected a finite number`),
    );
  }
});

Deno.test("encodeSafetensors() refuses data that does not fill its shape", () => {
  assert.throws(
    () => encodeSafetensors(new Map([["w", { shape: [2, 2], data: new Float32Array(3) }]])),
    new RangeError('Cannot store tensor "w": it has 3 values but shape (2,2)'),
  );
});

Deno.test("parseSafetensors() returns what was encoded", () => {
  const file = parseSafetensors(encodeSafetensors(tensors, { note: "x" }), "f");
  assert.deepEqual({ ...file.metadata }, { note: "x" });
  assert.equal(file.metadata["toString"], undefined);
  assert.equal(file.tensors.size, tensors.size);
  for (const [name, { shape, data }] of tensors) {
    assert.deepEqual(toFloat32(file, name, shape), data);
  }
});

Deno.test("parseSafetensors() keeps a tensor named __proto__ a tensor", () => {
  const json = `{"__proto__":${entry("U8", [1], 0, 1)},"__metadata__":{"__proto__":"text"}}`;
  const file = parseSafetensors(fileOf(json, 1), "f");
  assert.deepEqual([...file.tensors.keys()], ["__proto__"]);
  assert.equal(file.metadata["__proto__"], "text");
});

Deno.test("parseSafetensors() accepts entries in any order and a type it does not know", () => {
  const json = `{"b":${entry("F128", [9], 4, 5)},"a":${entry("F32", [1], 0, 4)}}   `;
  const file = parseSafetensors(fileOf(json, 5), "f");
  assert.equal(file.tensors.get("b")!.bytes[0], 4);
  assert.throws(() => toFloat32(file, "b"), {
    name: "TypeError",
    message: 'Cannot load f: tensor "b" is F128, expected F32, F16, BF16 or F64',
  });
});

const f32 = entry("F32", [1], 0, 4);
const broken: [what: string, bytes: Uint8Array<ArrayBuffer>, problem: string][] = [
  ["7 bytes", new Uint8Array(7), "it has 7 bytes, a safetensors file has at least 8"],
  ["a header past the end", fileOf(`{"a":${f32}}`, 4).subarray(0, 40), "cut off"],
  ["a header length of 2^63", fileOf("{}", 0).with(7, 0x80), "header of 9223372036854775810 bytes"],
  ["no header", fileOf("", 0), 'its header starts with "", expected "{"'],
  ["a header that starts with a space", fileOf(" {}", 0), 'its header starts with " "'],
  ["a byte order mark", fileOf("\uFEFF{}", 0), 'its header starts with "\uFEFF"'],
  ["a header that is not UTF-8", fileOf(Uint8Array.of(0x7B, 0xFF, 0x7D), 0), "not UTF-8"],
  ["a header that is not JSON", fileOf('{"a":}', 0), "JSON"],
  ["a trailing byte", fileOf(`{"a":${f32}}`, 5), "take 4 bytes but 5 follow"],
  ["a missing byte", fileOf(`{"a":${f32}}`, 3), "take 4 bytes but 3 follow"],
  ["data that begins late", fileOf(`{"a":${entry("F32", [1], 1, 5)}}`, 5), "expected 0"],
  ["a hole", fileOf(`{"a":${f32},"b":${entry("U8", [1], 5, 6)}}`, 6), "begins at 5, expected 4"],
  [
    "an overlap",
    fileOf(`{"a":${f32},"b":${entry("U8", [1], 3, 4)}}`, 4),
    "begins at 3, expected 4",
  ],
  ["fewer bytes than the shape's", fileOf(`{"a":${entry("F32", [2], 0, 4)}}`, 4), "takes 8"],
  ["more bytes than the shape's", fileOf(`{"a":${entry("F32", [1], 0, 8)}}`, 8), "takes 4"],
  ["a backward range", fileOf(`{"a":${entry("X", [1], 4, 0)}}`, 4), "ends at 0, before 4"],
  ["half a byte", fileOf(`{"a":${entry("F4", [3], 0, 1)}}`, 1), "takes 1.5"],
  ["a negative size", fileOf(`{"a":${entry("F32", [-1], 0, 0)}}`, 0), "whole numbers"],
  ["a fractional size", fileOf(`{"a":${entry("F32", [0.5], 0, 2)}}`, 2), "whole numbers"],
  ["a size above 2^53", fileOf(`{"a":${entry("U8", [2 ** 53], 0, 0)}}`, 0), "whole numbers"],
  ["a shape that overflows", fileOf(`{"a":${entry("U8", [2 ** 52, 2 ** 52], 0, 0)}}`, 0), "takes"],
  ["a negative offset", fileOf(`{"a":${entry("F32", [1], -4, 0)}}`, 0), "whole numbers"],
  ["three offsets", fileOf('{"a":{"dtype":"U8","shape":[],"data_offsets":[0,1,1]}}', 1), "two"],
  ["no dtype", fileOf('{"a":{"shape":[],"data_offsets":[0,1]}}', 1), '"dtype"'],
  ["an entry that is a list", fileOf('{"a":[]}', 0), '"a" needs'],
  ["9 dimensions", fileOf(`{"a":${entry("U8", Array(9).fill(1), 0, 1)}}`, 1), "9 dimensions"],
  ["metadata that is no text", fileOf('{"__metadata__":{"a":1}}', 0), "expected a string"],
  ["metadata that is a list", fileOf('{"__metadata__":[]}', 0), "not an object"],
  ["a name twice", fileOf(`{"a":${f32},"\\u0061":${f32}}`, 4), 'has the key "a" twice'],
  ["a field twice", fileOf(`{"a":{"dtype":"U8",${f32.slice(1)}}`, 4), 'has the key "dtype" twice'],
];
for (const [what, bytes, problem] of broken) {
  Deno.test(`readSafetensors() and parseSafetensors() refuse ${what}`, async () => {
    const path = await Deno.makeTempFile();
    const isRefusal = (error: Error) => {
      assert.equal(error.name, "SyntaxError");
      assert.ok(error.message.startsWith(`Cannot parse ${path}: `), error.message);
      assert.ok(error.message.includes(problem), error.message);
      return true;
    };
    try {
      await Deno.writeFile(path, bytes);
      await assert.rejects(readSafetensors(path), isRefusal);
      assert.throws(() => parseSafetensors(bytes, path), isRefusal);
    } finally {
      await Deno.remove(path);
    }
  });
}

Deno.test("parseSafetensors() accepts an empty tensor where another begins, and 8 dimensions", () => {
  const empty = entry("F32", [0], 0, 0);
  const json = `{"b":${entry("F32", Array(8).fill(1), 0, 4)},"a":${empty}}`;
  const file = parseSafetensors(fileOf(json, 4), "f");
  assert.deepEqual([...file.tensors.values()].map(({ bytes }) => bytes.length), [0, 4]);
});

Deno.test("parseSafetensors() does not take colons, braces and quotes in text for keys", () => {
  const name = 'x":{"a":"';
  const json = `{"__metadata__":{"a":"{\\"a\\":","b":"a"},${JSON.stringify(name)}:${f32}}`;
  assert.deepEqual([...parseSafetensors(fileOf(json, 4), "f").tensors.keys()], [name]);
});

Deno.test("toFloat32() converts F16, BF16 and F64, aligned or not", () => {
  // 2^-24 is the smallest subnormal of F16; BF16 keeps 8 bits of 1 + 2^-7.
  const half = new Uint8Array(Float16Array.of(1, -65504, 2 ** -24).buffer);
  const brain = new Uint8Array(Uint16Array.of(0x3F81, 0xC000).buffer);
  const double = new Uint8Array(Float64Array.of(0.1, 1e-300).buffer);
  for (const shift of [0, 1]) {
    const json = `{"_":${entry("U8", [shift], 0, shift)},` +
      `"half":${entry("F16", [3], shift, shift + 6)},` +
      `"brain":${entry("BF16", [2], shift + 6, shift + 10)},` +
      `"double":${entry("F64", [2], shift + 10, shift + 26)}}`;
    const bytes = fileOf(json, shift + 26);
    bytes.set(half, bytes.length - 26);
    bytes.set(brain, bytes.length - 20);
    bytes.set(double, bytes.length - 16);
    const file = parseSafetensors(bytes, "f");
    assert.deepEqual(toFloat32(file, "half"), Float32Array.of(1, -65504, 2 ** -24));
    assert.deepEqual(toFloat32(file, "brain"), Float32Array.of(1 + 2 ** -7, -2));
    assert.deepEqual(toFloat32(file, "double"), Float32Array.of(0.1, 0));
  }
});

Deno.test("toFloat32() copies F32 only when it is not aligned", () => {
  for (const pad of [0, 1, 2, 3]) {
    const bytes = fileOf(`{"a":${f32}}${" ".repeat(pad)}`, 4);
    bytes.set(new Uint8Array(Float32Array.of(1.25).buffer), bytes.length - 4);
    const values = toFloat32(parseSafetensors(bytes, "f"), "a");
    assert.deepEqual(values, Float32Array.of(1.25));
    assert.equal(values.buffer === bytes.buffer, (bytes.length - 4) % 4 === 0);
  }
});

Deno.test("toFloat32() refuses a missing tensor, another shape and values that are not finite", () => {
  const data = Float32Array.of(1, 2, 3, 4, 5, 6);
  const file = parseSafetensors(encodeSafetensors(new Map([["w", { shape: [2, 3], data }]])), "f");
  toFloat32(file, "w")[2] = NaN; // a view
  const refuse = (run: () => unknown, message: string) =>
    assert.throws(run, { name: "TypeError", message: `Cannot load f: ${message}` });
  refuse(() => toFloat32(file, "v"), 'tensor "v" is missing');
  refuse(() => toFloat32(file, "w", [3, 2]), 'tensor "w" is (2,3), expected (3,2)');
  refuse(() => toFloat32(file, "w"), 'value 2 of tensor "w" is NaN, expected a finite number');
});

Deno.test("toFloat32() refuses an F64 too large for f32", () => {
  const bytes = fileOf(`{"d":${entry("F64", [1], 0, 8)}}`, 8);
  bytes.set(new Uint8Array(Float64Array.of(1e39).buffer), bytes.length - 8);
  assert.throws(() => toFloat32(parseSafetensors(bytes, "f"), "d"), {
    message: 'Cannot load f: value 0 of tensor "d" is Infinity, expected a finite number',
  });
});

Deno.test("writeSafetensors() writes what readSafetensors() reads", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const path = join(folder, "a.safetensors");
    await writeSafetensors(path, tensors, { note: "x" });
    assert.deepEqual(await Deno.readFile(path), encodeSafetensors(tensors, { note: "x" }));
    const file = await readSafetensors(path);
    assert.deepEqual(toFloat32(file, "b", [2, 3]), tensors.get("b")!.data);
    await assert.rejects(readSafetensors(join(folder, "b")), {
      message: `Cannot read ${join(folder, "b")}: no such file`,
    });
    await assert.rejects(readSafetensors(folder), {
      message: `Cannot read ${folder}: it is a folder, expected a file`,
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
