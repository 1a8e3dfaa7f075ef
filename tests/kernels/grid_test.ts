import assert from "node:assert/strict";
import { grid1d } from "../../kernels/grid.ts";

Deno.test("grid1d() gives one row of groups while that is allowed", () => {
  assert.deepEqual(grid1d(0, 64), [1, 1, 1]);
  assert.deepEqual(grid1d(1, 64), [1, 1, 1]);
  assert.deepEqual(grid1d(64, 64), [1, 1, 1]);
  assert.deepEqual(grid1d(65, 64), [2, 1, 1]);
  assert.deepEqual(grid1d(32768 * 64, 64), [32768, 1, 1]);
  assert.deepEqual(grid1d(32768 * 64 + 1, 64), [32768, 2, 1]);
  assert.deepEqual(grid1d(2 * 32768 * 64 + 1, 64), [32768, 3, 1]);
});

Deno.test("grid1d() covers every item with no row to spare, within WebGPU's limit", () => {
  for (const size of [1, 64, 256]) {
    for (const invocations of [1, 63, 257, 65535, 65536, 1e6, 2 ** 24 + 1, 2 ** 30 - 1]) {
      const [x, y, z] = grid1d(invocations, size);
      assert(x * y * size >= invocations, `${x} x ${y} groups of ${size} for ${invocations}`);
      assert(x * (y - 1) * size < invocations, `${x} x ${y} groups of ${size} for ${invocations}`);
      assert(x <= 65535 && y <= 65535 && z === 1);
    }
  }
});
