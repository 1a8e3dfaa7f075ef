import assert from "node:assert/strict";
import { createTensor, readTensor, uploadTensor, viewTensor } from "../../kernels/gpu.ts";
import { patchify } from "../../kernels/patchify.ts";
import { patchifyCpu } from "../../kernels/patchify_cpu.ts";
import { Plan, runOnce } from "../../kernels/plan.ts";
import { assertClose, gpuTest, uniform } from "../testing.ts";

const MEAN = [0.485, 0.456, 0.406] as const;
const STD = [0.229, 0.224, 0.225] as const;

function bytes(count: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(uniform(count, 1), (x) => 128 * (x + 1));
}

// One patch, one row, one column, a rectangle, a picture as trained on.
const SIZES = [[1, 16, 16], [2, 16, 48], [3, 64, 16], [2, 64, 96], [1, 224, 224]] as const;

for (const dtype of ["f32", "f16"] as const) {
  for (const [batch, height, width] of SIZES) {
    gpuTest({
      name: `patchify() matches the oracle at (${batch}, ${height}, ${width}, 3) in ${dtype}`,
      needs: [dtype],
    }, async (gpu) => {
      const values = bytes(batch * height * width * 3);
      const patches = batch * height * width / 256;
      const pixels = uploadTensor(gpu, values, [batch, height, width, 3], "u8");
      const rows = createTensor(gpu, [patches, 768], dtype);
      await runOnce(gpu, (plan) => patchify(plan, { pixels, rows, mean: MEAN, std: STD }));
      // Four roundings of values up to 1 / STD = 4.5, 2.7 after the mean; one to f16.
      assertClose(
        await readTensor(gpu, rows),
        patchifyCpu(values, { batch, height, width, mean: MEAN, std: STD }),
        dtype === "f16"
          ? { atol: 2 ** -20, rtol: 2 ** -11 }
          : { atol: 4 * 4.5 * 2 ** -24, rtol: 0 },
      );
    });
  }
}

gpuTest("patchify() puts a pixel where the convolution's weight expects it", async (gpu) => {
  const [height, width] = [32, 48];
  const values = new Uint8Array(height * width * 3);
  values[(17 * width + 37) * 3 + 2] = 255; // blue at y 17, x 37: patch (1, 2), inside it (1, 5)
  const pixels = uploadTensor(gpu, values, [1, height, width, 3], "u8");
  const rows = createTensor(gpu, [6, 768]);
  const input = { pixels, rows, mean: [0, 0, 0], std: [1, 1, 1] } as const;
  await runOnce(gpu, (plan) => patchify(plan, input));
  const found = await readTensor(gpu, rows);
  assert.deepEqual([found.indexOf(1), found.lastIndexOf(1)], Array(2).fill(5 * 768 + 512 + 16 + 5));
});

gpuTest("patchify() reads a view of the second image of a batch", async (gpu) => {
  const values = bytes(2 * 16 * 16 * 3);
  const all = uploadTensor(gpu, values, [2, 16, 16, 3], "u8");
  const pixels = viewTensor(gpu, all, { start: 768, shape: [1, 16, 16, 3] });
  const rows = createTensor(gpu, [1, 768]);
  await runOnce(gpu, (plan) => patchify(plan, { pixels, rows, mean: MEAN, std: STD }));
  const sizes = { batch: 1, height: 16, width: 16, mean: MEAN, std: STD };
  assertClose(await readTensor(gpu, rows), patchifyCpu(values.subarray(768), sizes), {
    atol: 4 * 4.5 * 2 ** -24,
    rtol: 0,
  });
});

gpuTest("patchify() folds a grid of more than 32768 patches", async (gpu) => {
  const patches = 32768 + 3;
  const values = new Uint8Array(patches * 768);
  values.set(bytes(3 * 768), 32768 * 768);
  const pixels = uploadTensor(gpu, values, [patches, 16, 16, 3], "u8");
  const rows = createTensor(gpu, [patches, 768]);
  await runOnce(gpu, (plan) => patchify(plan, { pixels, rows, mean: MEAN, std: STD }));
  const rest = viewTensor(gpu, rows, { start: 32768 * 768, shape: [3, 768] });
  const sizes = { batch: 3, height: 16, width: 16, mean: MEAN, std: STD };
  assertClose(
    await readTensor(gpu, rest),
    patchifyCpu(values.subarray(32768 * 768), sizes),
    { atol: 4 * 4.5 * 2 ** -24, rtol: 0 },
  );
});

gpuTest(
  "patchify() refuses images that 16 does not divide and tensors that do not fit",
  async (gpu) => {
    const plan = new Plan(gpu);
    const rows = createTensor(gpu, [1, 768]);
    const input = { rows, mean: MEAN, std: STD };
    assert.throws(
      () => patchify(plan, { ...input, pixels: createTensor(gpu, [1, 16, 24, 3], "u8") }),
      new RangeError(
        "Cannot run patchify: pixels is (1,16,24,3), height and width must be multiples of 16",
      ),
    );
    assert.throws(
      () => patchify(plan, { ...input, pixels: createTensor(gpu, [2, 16, 16, 3], "u8") }),
      new RangeError("Cannot run patchify: rows is (1,768) f32, it must be (2,768) f32"),
    );
    assert.throws(
      () => patchify(plan, { ...input, pixels: createTensor(gpu, [1, 16, 16, 3]) }),
      new TypeError("Cannot run patchify: pixels is (1,16,16,3) f32, it must be (1,16,16,3) u8"),
    );
    await plan.ready();
  },
);
