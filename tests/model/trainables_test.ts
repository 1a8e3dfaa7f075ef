import assert from "node:assert/strict";
import { readTensor, writeTensor } from "../../kernels/gpu.ts";
import type { Adapter } from "../../model/adapter.ts";
import { INITIAL_LOGIT_SCALE, padTo4, Trainables } from "../../model/trainables.ts";
import { gpuTest, uniform } from "../testing.ts";
import { bitsOf, modelTest, tinyAdapter, tinyConfig, tinyStep, tinyTrainer } from "./tiny.ts";

/** Two layers of these ranks, 8 wide, 12 high, and a head, with values that tell them apart. */
function smallAdapter(ranks: readonly number[], logitScale: number | null = 2.5): Adapter {
  let seed = 0;
  const values = (size: number) => uniform(size, ++seed);
  return {
    modules: ranks.map((rank, i) => ({
      name: `blocks.${i}.attn.proj`,
      rank,
      alpha: 4,
      loraA: values(rank * 8),
      loraB: values(12 * rank),
    })),
    head: {
      hidden: 20,
      embedDim: 4,
      weight1: values(20 * 8),
      bias1: values(20),
      weight2: values(4 * 20),
      bias2: values(4),
    },
    logitScale,
    dropout: 0,
    rslora: true,
    baseModel: "small",
    input: null,
  };
}

Deno.test("padTo4() rounds up", () => {
  assert.deepEqual([1, 3, 4, 5, 128].map(padTo4), [4, 4, 4, 8, 128]);
});

gpuTest("Trainables.read() returns the adapter it was given, whatever its ranks", async (gpu) => {
  for (const ranks of [[1, 2], [3, 4], [5, 8], [16, 3]]) {
    for (const training of [true, false]) {
      const adapter = smallAdapter(ranks);
      const trainables = new Trainables(gpu, adapter, { training });
      assert.deepEqual(await trainables.read(), adapter);
      assert.equal(trainables.names().length, 4 + 4 + 1);
      const sizes = ranks.map((rank) => 20 * rank);
      assert.equal(trainables.count, sizes[0]! + sizes[1]! + 160 + 20 + 80 + 4 + 1);
      trainables.destroy();
    }
    const plain = { ...smallAdapter(ranks), head: null };
    const trainables = new Trainables(gpu, plain, { training: true });
    assert.deepEqual(await trainables.read(), plain);
    trainables.destroy();
  }
  assert.equal(gpu.memory.current, 0);
});

gpuTest("Trainables.read() reads what is on the GPU now", async (gpu) => {
  const twice = (values: Float32Array) => Float32Array.from(values, (x) => 2 * x);
  const { modules, head, ...rest } = smallAdapter([3, 4]);
  const trainables = new Trainables(gpu, { modules, head, ...rest }, { training: true });
  writeTensor(gpu, trainables.parameters, twice(await readTensor(gpu, trainables.parameters)));
  const { weight1, bias1, weight2, bias2 } = head!;
  assert.deepEqual(await trainables.read(), {
    ...rest,
    modules: modules.map((module) => ({
      ...module,
      loraA: twice(module.loraA),
      loraB: twice(module.loraB),
    })),
    head: {
      ...head!,
      weight1: twice(weight1),
      bias1: twice(bias1),
      weight2: twice(weight2),
      bias2: twice(bias2),
    },
    logitScale: 5,
  });
});

gpuTest("Trainables pads ranks with zeros: rows of A, columns of B", async (gpu) => {
  const adapter = smallAdapter([3, 1]);
  const trainables = new Trainables(gpu, adapter, { training: true });
  const { loraA, loraB } = adapter.modules[0]!;
  const a = trainables.parameter("blocks.0.attn.proj.lora_A");
  assert.deepEqual(a.shape, [4, 8]);
  assert.deepEqual([...await readTensor(gpu, a)], [...loraA, ...Array(8).fill(0)]);
  const b = trainables.parameter("blocks.0.attn.proj.lora_B");
  assert.deepEqual(b.shape, [12, 4]);
  const rows = Array.from({ length: 12 }, (_, row) => [...loraB.subarray(3 * row, 3 * row + 3), 0]);
  assert.deepEqual([...await readTensor(gpu, b)], rows.flat());
  assert.deepEqual(trainables.parameter("blocks.1.attn.proj.lora_B").shape, [12, 4]);
  assert.deepEqual(trainables.parameter("head.0.weight").shape, [20, 8]);
  assert.deepEqual(trainables.parameter("head.3.bias").shape, [4]);
  assert.deepEqual(trainables.logitScale.shape, [1]);
});

gpuTest(
  "Trainables keeps parameters and gradients apart, each where it can be bound",
  async (gpu) => {
    const trainables = new Trainables(gpu, smallAdapter([3, 5]), { training: true });
    const { parameters, training } = trainables;
    const { gradients, m, v } = training!;
    for (const tensor of [gradients, m, v]) {
      assert.deepEqual(tensor.shape, parameters.shape);
      assert((await readTensor(gpu, tensor)).every((x) => x === 0));
    }
    // Each gradient gets values of its own: none may overlap another.
    const wanted = new Map<string, Float32Array>();
    for (const [i, name] of trainables.names().entries()) {
      const gradient = trainables.gradient(name)!;
      const parameter = trainables.parameter(name);
      assert.equal(gradient.offset % 256, 0, name);
      assert.equal(gradient.buffer, gradients.buffer);
      assert.deepEqual([parameter.offset, parameter.shape], [gradient.offset, gradient.shape]);
      writeTensor(gpu, gradient, (await readTensor(gpu, gradient)).fill(i + 1));
      wanted.set(name, (await readTensor(gpu, parameter)).fill(i + 1));
    }
    const found = trainables.unpack(await readTensor(gpu, gradients));
    assert.deepEqual([...found.keys()], trainables.names());
    for (const [name, values] of found) {
      assert(values.every((x) => x === wanted.get(name)![0]), `${name}: ${values}`);
    }
    assert.equal(trainables.dLogitScale.buffer, gradients.buffer);
  },
);

gpuTest("Trainables trains logit_scale, or leaves it what the adapter says", async (gpu) => {
  for (const [logitScale, start] of [[2.5, 2.5], [0, 0], [null, INITIAL_LOGIT_SCALE]] as const) {
    const adapter = smallAdapter([1, 1], logitScale);
    const trained = new Trainables(gpu, adapter, { training: true });
    const constant = new Trainables(gpu, adapter, { training: true, trainLogitScale: false });
    for (const { logitScale } of [trained, constant]) {
      assert.deepEqual([...await readTensor(gpu, logitScale)], [Math.fround(start)]);
    }
    assert.equal((await trained.read()).logitScale, Math.fround(start));
    assert.equal((await constant.read()).logitScale, logitScale);
    assert.equal(trained.count, constant.count + 1);
    assert.notEqual(constant.logitScale.buffer, constant.parameters.buffer);
    for (const trainables of [trained, constant]) trainables.destroy();
  }
  assert.equal(gpu.memory.current, 0);
});

gpuTest("Trainables has gradients and moments only for training", (gpu) => {
  const trainables = new Trainables(gpu, smallAdapter([3, 5]), { training: false });
  const inference = gpu.memory.current;
  assert.equal(trainables.training, null);
  assert.equal(trainables.gradient("head.0.weight"), null);
  trainables.destroy();
  const trained = new Trainables(gpu, smallAdapter([3, 5]), { training: true });
  assert(gpu.memory.current > 3.9 * inference, `${gpu.memory.current} bytes, ${inference} without`);
  trained.destroy();
  assert.equal(gpu.memory.current, 0);
  return Promise.resolve();
});

gpuTest("Trainables refuses matrices that do not fit", (gpu) => {
  const adapter = smallAdapter([3, 2]);
  const [first, ...others] = adapter.modules;
  const head = adapter.head!;
  const modules = (change: object) => ({
    ...adapter,
    modules: [{ ...first!, ...change }, ...others],
  });
  const cases: [Adapter, RegExp][] = [
    [modules({ loraA: uniform(25, 0) }), /"blocks\.0\.attn\.proj\.lora_A" as \(3,8\.3.*25 values$/],
    [modules({ loraB: uniform(35, 0) }), /"blocks\.0\.attn\.proj\.lora_B" as \(11\.6.*35 values$/],
    [{ ...adapter, head: { ...head, weight1: uniform(161, 0) } }, /"head\.0\.weight" as /],
    [{ ...adapter, head: { ...head, bias1: uniform(40, 0) } }, /"head\.0\.bias" as \(1,20\)/],
    [{ ...adapter, head: { ...head, weight2: uniform(60, 0) } }, /"head\.3\.weight" as \(4,20\)/],
    [{ ...adapter, head: { ...head, bias2: uniform(3, 0) } }, /"head\.3\.bias" as \(1,4\)/],
    [{ ...adapter, head: { ...head, hidden: 18 } }, /hidden must be a multiple of 4: .* is 18$/],
    [{ ...adapter, head: { ...head, embedDim: 6 } }, /embedDim must be a multiple of 4: .* is 6$/],
  ];
  for (const [bad, wanted] of cases) {
    assert.throws(() => new Trainables(gpu, bad, { training: true }), (error: Error) => {
      assert(error instanceof RangeError);
      assert.match(error.message, wanted);
      return true;
    });
  }
  assert.equal(gpu.memory.current, 0);
  return Promise.resolve();
});

modelTest("a padded rank stays zero while it is trained", async (gpu) => {
  const adapter = tinyAdapter(tinyConfig(), { dropout: 0.3 }); // rank 3
  const trainer = await tinyTrainer(gpu, { adapter });
  for (let i = 0; i < 5; i++) tinyStep(trainer, 0.01);
  assert((await trainer.results()).every(({ skipped }) => !skipped));
  const { trainables } = trainer;
  for (const { name } of adapter.modules) {
    const a = trainables.parameter(`${name}.lora_A`);
    const values = await readTensor(gpu, a);
    assert.equal(a.shape[0], 4);
    const used = 3 * a.shape[1]!;
    assert(values.subarray(0, used).every((x) => x !== 0), name);
    assert(values.subarray(used).every((x) => x === 0), name);
    const b = await readTensor(gpu, trainables.parameter(`${name}.lora_B`));
    assert(b.every((x, i) => (x === 0) === (i % 4 === 3)), name);
  }
  assert.notEqual(bitsOf(await trainer.adapter()), bitsOf(adapter));
  const { training } = trainables;
  for (const [key, flat] of Object.entries(training!)) {
    const values = await readTensor(gpu, flat);
    const filled = (xs: Float32Array) => xs.filter((x) => x !== 0).length;
    const inside = [...trainables.unpack(values).values()].map(filled);
    assert.equal(filled(values), inside.reduce((sum, n) => sum + n), `${key} fills the padding`);
  }
  trainer.destroy();
});
