import assert from "node:assert/strict";
import { onnxMatMul } from "../../bench/peers/onnx_matmul.ts";

/** Fields of a protobuf message: number, and a value or the bytes of a message. */
function fields(bytes: Uint8Array): [number, number | Uint8Array][] {
  const found: [number, number | Uint8Array][] = [];
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let scale = 1;; scale *= 128) {
      assert(at < bytes.length, "the message ends in the middle of a number");
      const byte = bytes[at++]!;
      value += (byte & 127) * scale;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const key = varint();
    const value = varint();
    if (key % 8 === 0) found.push([key >> 3, value]);
    else found.push([key >> 3, bytes.subarray(at, at += value)]);
  }
  return found;
}

const text = (bytes: unknown) => new TextDecoder().decode(bytes as Uint8Array);

Deno.test("onnxMatMul() is a model of one node whose tensors have the given shapes", () => {
  const model = new Map(fields(onnxMatMul({ m: 1044, n: 1152, k: 384 })));
  assert.equal(model.get(1), 8);
  assert.deepEqual(fields(model.get(8) as Uint8Array), [[2, 13]]);
  const graph = fields(model.get(7) as Uint8Array);
  const node = fields(graph.find(([number]) => number === 1)![1] as Uint8Array);
  assert.deepEqual(node.map(([number, value]) => [number, text(value)]), [
    [1, "a"],
    [1, "b"],
    [2, "c"],
    [4, "MatMul"],
  ]);
  const shapes = graph.filter(([number]) => number >= 11).map(([, info]) => {
    const [[, name], [, type]] = fields(info as Uint8Array) as [[1, Uint8Array], [2, Uint8Array]];
    const [[, tensor]] = fields(type) as [[1, Uint8Array]];
    const [[, element], [, shape]] = fields(tensor) as [[1, number], [2, Uint8Array]];
    const dims = fields(shape).map(([, dim]) => fields(dim as Uint8Array)[0]![1]);
    return [text(name), element, ...dims];
  });
  assert.deepEqual(shapes, [["a", 1, 1044, 384], ["b", 1, 384, 1152], ["c", 1, 1044, 1152]]);
});
