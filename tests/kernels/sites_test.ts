import assert from "node:assert/strict";
import { readTensor } from "../../kernels/gpu.ts";
import { Sites } from "../../kernels/sites.ts";
import { gpuTest } from "../testing.ts";

gpuTest("Sites.write() gives every site the step's keys beside its own", async (gpu) => {
  const sites = new Sites(gpu, 3);
  const added = [sites.add(5, 0), sites.add(6, 4_000_000_000), sites.add(5, 7)];
  const own = [[5, 0], [6, 4_000_000_000], [5, 7]];
  for (const [seed, step] of [[42, 1], [2 ** 32 - 1, 1000]] as const) {
    sites.write(seed, step);
    for (const [i, site] of added.entries()) {
      assert.equal(site.dtype, "u32");
      // u32 come back as f32: compare what that rounds to.
      const wanted = [seed, step, ...own[i]!].map(Math.fround);
      assert.deepEqual([...await readTensor(gpu, site)], wanted, `site ${i}`);
    }
  }
});

gpuTest("Sites.add() refuses one site too many and keeps the others", async (gpu) => {
  const sites = new Sites(gpu, 1);
  const site = sites.add(3, 4);
  const full = new RangeError("Cannot add a site: all 1 slots of the table are taken");
  assert.throws(() => sites.add(8, 9), full);
  assert.throws(() => sites.add(8, 9), full);
  sites.write(1, 2);
  assert.deepEqual([...await readTensor(gpu, site)], [1, 2, 3, 4]);
});

gpuTest("Sites.destroy() frees the table", (gpu) => {
  const sites = new Sites(gpu, 100);
  assert.equal(gpu.memory.current, 100 * 256);
  sites.destroy();
  assert.equal(gpu.memory.current, 0);
  return Promise.resolve();
});
