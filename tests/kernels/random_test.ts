import assert from "node:assert/strict";
import { createTensor, type Gpu, readTensor } from "../../kernels/gpu.ts";
import { runOnce } from "../../kernels/plan.ts";
import { dropoutKey, keep } from "../../kernels/random_cpu.ts";
import random from "../../kernels/random.wgsl" with { type: "text" };
import { gpuTest } from "../testing.ts";

/** The first 4096 values of a WGSL expression of `i`. */
async function evaluate(gpu: Gpu, dtype: "u32" | "f32", expression: string): Promise<Float32Array> {
  const values = createTensor(gpu, [4096], dtype);
  const code = `
    @group(0) @binding(0) var<storage, read_write> values: array<${dtype}>;
    @compute @workgroup_size(64) fn main(@builtin(global_invocation_id) id: vec3u) {
      let i = id.x;
      values[i] = ${expression};
    }`;
  await runOnce(gpu, (plan) => {
    plan.add({ label: "random", code, include: [random], tensors: [values], groups: [64, 1, 1] });
  });
  return await readTensor(gpu, values);
}

gpuTest("mix() is the finaliser of MurmurHash3", async (gpu) => {
  // Published hashes of no bytes under seeds 1 and 2^32 - 1 are the finaliser of the seed alone.
  const values = await evaluate(gpu, "u32", "mix(select(1u, 0xFFFFFFFFu, i == 1u)) >> 8u");
  assert.deepEqual([...values.subarray(0, 2)], [0x514E28, 0x81F16F]);
});

gpuTest("keep() equals its twin bit by bit", async (gpu) => {
  for (const rate of [0, 0.1, 0.5, 0.999]) {
    for (
      const [seed, step, stream, first] of [[0, 0, 0, 0], [42, 7, 47, 2 ** 32 - 4096]] as const
    ) {
      const values = await evaluate(
        gpu,
        "f32",
        `keep(dropout_key(${seed}u, ${step}u, ${stream}u), ${first}u + i, ${rate})`,
      );
      const key = dropoutKey(seed, step, stream);
      assert.deepEqual(values, Float32Array.from(values, (_, i) => keep(key, first + i, rate)));
    }
  }
});

gpuTest("keep() drops an element from the first rate above its number", async (gpu) => {
  let number = 0; // of element 17, 24 bits, found by bisection
  for (let bit = 0.5; bit >= 2 ** -24; bit /= 2) {
    if (keep(5, 17, number + bit) > 0) number += bit;
  }
  const at = await evaluate(gpu, "f32", `keep(5u, 17u, ${number})`);
  const above = await evaluate(gpu, "f32", `keep(5u, 17u, ${number + 2 ** -24})`);
  assert.ok(at[0]! > 1 && above[0] === 0, `got ${at[0]} at ${number}, ${above[0]} above`);
});

const COUNT = 2 ** 18;

function mask(key: number, rate: number): Uint8Array {
  return Uint8Array.from({ length: COUNT }, (_, i) => keep(key, i, rate) > 0 ? 1 : 0);
}

/** Correlation of two masks in standard deviations: a draw from N(0, 1) if independent. */
function deviation(a: Uint8Array, b: Uint8Array, rate: number): number {
  const mean = 1 - rate;
  const count = Math.min(a.length, b.length);
  let sum = 0;
  for (let i = 0; i < count; i++) sum += (a[i]! - mean) * (b[i]! - mean);
  return sum / (rate * (1 - rate) * Math.sqrt(count));
}

// Below, a fair generator exceeds 5 standard deviations with probability 6e-7 a comparison;
// the seeds are fixed, so these tests cannot fail by chance from one run to the next.

Deno.test("keep() drops the given share and scales the rest to mean 1", () => {
  const key = dropoutKey(1, 2, 3);
  for (const rate of [0.1, 0.5, 0.9]) {
    const kept = mask(key, rate).reduce((sum, x) => sum + x, 0);
    const spread = Math.sqrt(rate * (1 - rate) * COUNT);
    const z = (kept - (1 - rate) * COUNT) / spread;
    assert.ok(Math.abs(z) < 5, `rate ${rate}: kept ${kept} of ${COUNT}, ${z} deviations off`);
    const values = new Set(Array.from({ length: 1000 }, (_, i) => keep(key, i, rate)));
    const scale = Math.fround(1 / Math.fround(1 - Math.fround(rate)));
    assert.deepEqual([...values].sort(), [0, scale]);
  }
  assert.deepEqual(new Set(Array.from({ length: 1000 }, (_, i) => keep(key, i, 0))), new Set([1]));
});

Deno.test("keep() is independent between streams, steps and seeds", () => {
  const keys = [];
  for (const seed of [0, 1]) {
    for (const step of [0, 1, 2]) {
      for (const stream of [0, 1, 2, 3]) keys.push(dropoutKey(seed, step, stream));
    }
  }
  for (const rate of [0.1, 0.5]) {
    const masks = keys.map((key) => mask(key, rate));
    masks.forEach((a, i) => {
      masks.slice(0, i).forEach((b, j) => {
        const z = deviation(a, b, rate);
        assert.ok(Math.abs(z) < 5, `keys ${i} and ${j} at rate ${rate}: ${z} deviations`);
      });
    });
  }
});

Deno.test("keep() is independent between the elements of a matrix", () => {
  const a = mask(dropoutKey(0, 0, 0), 0.1);
  for (const lag of [1, 2, 3, 4, 8, 64, 256, 384, 1024, 1536, 65536]) {
    const z = deviation(a.subarray(lag), a, 0.1);
    assert.ok(Math.abs(z) < 5, `lag ${lag}: ${z} deviations`);
  }
});

Deno.test("keep() makes every pattern of 8 neighbours equally often at rate 0.5", () => {
  for (const stream of [0, 1, 2]) {
    const a = mask(dropoutKey(0, 0, stream), 0.5);
    const seen = new Float64Array(256);
    for (let i = 0; i < COUNT; i += 8) {
      seen[a.subarray(i, i + 8).reduce((bits, x) => 2 * bits + x, 0)]!++;
    }
    const expected = COUNT / 8 / 256;
    const chi2 = seen.reduce((sum, n) => sum + (n - expected) ** 2 / expected, 0);
    // 255 degrees of freedom: mean 255, standard deviation sqrt(510) = 22.6; 5 of them.
    assert.ok(Math.abs(chi2 - 255) < 113, `stream ${stream}: chi-square ${chi2}`);
  }
});

Deno.test("keep() differs between two keys by more than a reordering of neighbours", () => {
  // With a single round, a block of 256 elements keeps equally many under keys that agree in their
  // upper 24 bits.
  const counts = [0, 1, 2, 3].map((key) => {
    const a = mask(0x12345600 + key, 0.5);
    return Array.from(
      { length: 64 },
      (_, block) => a.subarray(256 * block, 256 * block + 256).reduce((sum, x) => sum + x, 0),
    );
  });
  for (const other of counts.slice(1)) assert.notDeepEqual(other, counts[0]);
});
