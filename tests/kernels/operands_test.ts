import assert from "node:assert/strict";
import type { DType, Tensor } from "../../kernels/gpu.ts";
import { declareOperands } from "../../kernels/operands.ts";

const tensor = (shape: number[], dtype: DType = "f32") => ({ shape, dtype }) as unknown as Tensor;

Deno.test("declareOperands() declares textures of what fits, buffers of the rest", () => {
  const tensors = [
    tensor([8]),
    tensor([2 ** 25, 2]),
    undefined,
    tensor([6]),
    tensor([3, 4], "f16"),
  ];
  const operands = tensors.map((tensor, i) => ({
    ...{ name: `t${i}`, binding: 5 + i, type: "Type", tensor },
  }));
  const kinds = (source: string) =>
    source.match(/@binding.*/g)!.map((line) => /^@binding\((\d+)\) var(.*)$/.exec(line)!.slice(1));
  const buffer = (i: number) => [`${5 + i}`, `<storage, read> t${i}: array<vec4<Type>>;`];
  const texture = (
    i: number,
  ) => [
    `${5 + i}`,
    ` t${i}: texture_storage_2d<${i === 4 ? "rgba16float" : "rgba32float"}, read>;`,
  ];

  const some = declareOperands(operands, true);
  assert.deepEqual(some.asTexels, [5, 9]);
  assert.deepEqual(kinds(some.source), [texture(0), buffer(1), buffer(2), buffer(3), texture(4)]);
  const none = declareOperands(operands, false);
  assert.deepEqual(none.asTexels, []);
  assert.deepEqual(kinds(none.source), [0, 1, 2, 3, 4].map(buffer));
  for (const { source } of [some, none]) {
    assert.deepEqual(source.match(/fn \w+/g), [0, 1, 2, 3, 4].map((i) => `fn t${i}_at`));
  }
});

Deno.test("declareOperands() declares no more textures than an adapter must grant", () => {
  const operands = Array.from({ length: 6 }, (_, binding) => ({
    ...{ name: `t${binding}`, binding, type: "f32", tensor: tensor([8]) },
  }));
  assert.deepEqual(declareOperands(operands, true).asTexels, [0, 1, 2, 3]);
});

Deno.test("declareOperands() gives the elements that were asked for", () => {
  const operand = { name: "x", binding: 0, type: "Type", tensor: undefined };
  const { source } = declareOperands([{ ...operand, element: "Element" }, operand], false);
  assert.deepEqual(source.match(/-> vec4<\w+>/g), ["-> vec4<Element>", "-> vec4<f32>"]);
});

Deno.test("declareOperands() reads what a kernel writes by the array it is written by", () => {
  const operand = { name: "old", binding: 3, type: "f32", tensor: tensor([8]), written: "x" };
  const buffer = declareOperands([operand], false);
  assert.equal(
    buffer.source.trim(),
    "fn old_at(i: u32) -> vec4<f32> { return vec4<f32>(x[i]); }",
  );
  const texture = declareOperands([operand], true);
  assert.deepEqual(texture.asTexels, [3]);
  assert.match(texture.source, /textureLoad\(old,/);
});
