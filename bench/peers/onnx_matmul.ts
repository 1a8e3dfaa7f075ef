/**
 * The bytes of an ONNX model of one matrix product: a protobuf small enough to write by hand.
 *
 * @see https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
 *
 * @module
 */

function varint(value: number): number[] {
  return value < 128 ? [value] : [value % 128 + 128, ...varint(Math.floor(value / 128))];
}

/** One field: a number as it is, text or a message with its length before it. */
function field(number: number, value: number | string | Uint8Array): number[] {
  if (typeof value === "number") return [...varint(number * 8), ...varint(value)];
  const bytes = typeof value === "string" ? new TextEncoder().encode(value) : value;
  return [...varint(number * 8 + 2), ...varint(bytes.length), ...bytes];
}

function message(...fields: number[][]): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(fields.flat());
}

/** ValueInfoProto of an f32 tensor. */
function valueInfo(name: string, shape: readonly number[]): Uint8Array {
  const dims = shape.map((size) => field(1, message(field(1, size))));
  const tensor = message(field(1, 1), field(2, message(...dims))); // elem_type FLOAT, shape
  return message(field(1, name), field(2, message(field(1, tensor))));
}

/** ModelProto of `c (m, n) = a (m, k) · b (k, n)`. */
export function onnxMatMul(
  { m, n, k }: { m: number; n: number; k: number },
): Uint8Array<ArrayBuffer> {
  const node = message(field(1, "a"), field(1, "b"), field(2, "c"), field(4, "MatMul"));
  const graph = message(
    field(1, node),
    field(2, "matmul"),
    field(11, valueInfo("a", [m, k])),
    field(11, valueInfo("b", [k, n])),
    field(12, valueInfo("c", [m, n])),
  );
  const opset = message(field(2, 13));
  return message(field(1, 8), field(7, graph), field(8, opset)); // IR version 8
}
