import assert from "node:assert/strict";
import type { Gpu } from "../../kernels/gpu.ts";
import { modelConfig } from "../../model/config.ts";
import { largestPiece, mergesBest, pieceSize } from "../../model/network.ts";

const network = { config: modelConfig("vits16"), tokens: 201, precision: "f16" } as const;

/** A GPU that binds tensors of so many images. */
function binding(images: number): Gpu {
  const limits = { maxStorageBufferBindingSize: images * 201 * 1536 * 2 + 1 };
  return { device: { limits } } as unknown as Gpu;
}

Deno.test("pieceSize() is what is asked for, or the least number of even pieces", () => {
  const sizes: [most: number, images: number, microBatch: number | null, size: number][] = [
    [256, 256, null, 256],
    [300, 256, null, 256],
    [255, 256, null, 128], // not 255 and 1
    [127, 256, null, 86],
    [1, 3, null, 1],
    [255, 256, 64, 64],
    [255, 256, 200, 200], // as was asked for: 200 and 56
    [255, 256, 256, 128],
    [255, 6, 100, 6],
  ];
  for (const [most, images, microBatch, size] of sizes) {
    const gpu = binding(most);
    assert.equal(largestPiece(gpu, network), most);
    assert.equal(pieceSize(gpu, network, { images, microBatch }), size, `${most}, ${images}`);
  }
  assert.throws(() => pieceSize(binding(0), network, { images: 2, microBatch: 1 }), RangeError);
});

Deno.test("mergesBest() where there is no dropout, and no matrix unit that f32 weights would idle", () => {
  const merges = (hasMatrix: boolean, precision: "f32" | "f16", dropout: number) =>
    mergesBest({ hasMatrix } as Gpu, { precision, dropout });
  assert.equal(merges(false, "f16", 0), true);
  assert.equal(merges(true, "f32", 0), true);
  assert.equal(merges(true, "f16", 0), false);
  assert.equal(merges(false, "f32", 0.1), false);
});
