/**
 * Checkpoints with bytes cut off or changed: it is noticed, or it does no harm.
 *
 * @module
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import {
  type Checkpoint,
  loadCheckpoint,
  recoverCheckpoint,
  saveCheckpoint,
} from "../../model/checkpoint.ts";
import { LONG, namesIn } from "./runs.ts";
import { smallCheckpoint } from "./small_checkpoint.ts";

const FLIPS = LONG ? Infinity : 300; // of each file; all of its bits in the long form

/** Registers a test with the checkpoints of two steps in `last` and `last.old`. */
function checkpointTest(name: string, fn: (last: string) => Promise<void>): void {
  Deno.test(name, async () => {
    const folder = await Deno.makeTempDir();
    try {
      const last = join(folder, "last");
      await saveCheckpoint(last, smallCheckpoint(6));
      await saveCheckpoint(last, smallCheckpoint(7));
      await fn(last);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}

/** Whether a checkpoint is refused; one that is not must be the one that was saved. */
async function isRefused(last: string, wanted: Checkpoint): Promise<boolean> {
  const found = await loadCheckpoint(last).catch((error) => {
    assert.match((error as Error).message, /^Cannot (load|parse|read) [^\n]*$/);
    return null;
  });
  if (found !== null) assert.deepEqual(found, wanted);
  return found === null;
}

/** Counts by file what became of changes to its bytes. */
async function tryAll(
  last: string,
  changesOf: (bytes: Uint8Array) => Iterable<Uint8Array>,
): Promise<Record<string, { detected: number; harmless: number }>> {
  const counts: Record<string, { detected: number; harmless: number }> = {};
  for (const name of namesIn(last)) {
    const count = counts[name] = { detected: 0, harmless: 0 };
    const path = join(last, name);
    const bytes = await Deno.readFile(path);
    for (const changed of changesOf(bytes)) {
      await Deno.writeFile(path, changed);
      count[await isRefused(last, smallCheckpoint(7)) ? "detected" : "harmless"]++;
    }
    await Deno.writeFile(path, bytes);
  }
  assert.equal(await isRefused(last, smallCheckpoint(7)), false);
  assert.equal(Object.keys(counts).length, 4);
  return counts;
}

checkpointTest("loadCheckpoint() notices a file that was cut short", async (last) => {
  const counts = await tryAll(last, function* (bytes) {
    const stride = LONG ? 1 : Math.ceil(bytes.length / 100);
    for (let length = 0; length < bytes.length; length += stride) yield bytes.slice(0, length);
    yield bytes.slice(0, -1);
    yield Uint8Array.of(...bytes, 0); // and one that grew
  });
  console.table(counts);
  for (const { harmless } of Object.values(counts)) assert.equal(harmless, 0);
});

checkpointTest("loadCheckpoint() notices a flipped bit, or it is harmless", async (last) => {
  const counts = await tryAll(last, function* (bytes) {
    const bits = 8 * bytes.length;
    const stride = Math.max(1, Math.floor(bits / FLIPS));
    for (let bit = 0; bit < bits; bit += stride) {
      const changed = bytes.slice();
      changed[bit >> 3]! ^= 1 << (bit & 7);
      yield changed;
    }
  });
  console.table(counts);
});

checkpointTest("loadCheckpoint() notices a file that is missing", async (last) => {
  for (const name of namesIn(last)) {
    const path = join(last, name);
    await Deno.rename(path, `${path}.away`);
    assert.equal(await isRefused(last, smallCheckpoint(7)), true, name);
    await Deno.rename(`${path}.away`, path);
  }
});

checkpointTest("recoverCheckpoint() takes the one before a damaged one", async (last) => {
  const path = join(last, "trainer.safetensors");
  await Deno.truncate(path, 100);
  const { checkpoint, damage } = await recoverCheckpoint(last);
  assert.deepEqual(checkpoint, smallCheckpoint(6));
  assert.match(damage!, new RegExp(`^Cannot load ${path}: it has 100 bytes`));
  assert.equal((await Deno.stat(join(`${last}.damaged`, "trainer.safetensors"))).size, 100);
  // The damaged one must not take the place of the whole one at the next save.
  assert.deepEqual(await loadCheckpoint(last), smallCheckpoint(6));
});

checkpointTest("recoverCheckpoint() refuses two damaged ones and touches neither", async (last) => {
  for (const folder of [last, `${last}.old`]) await Deno.truncate(join(folder, "trainer.json"), 9);
  await assert.rejects(recoverCheckpoint(last), { name: "SyntaxError" });
  for (const folder of [last, `${last}.old`]) {
    assert.equal((await Deno.stat(join(folder, "trainer.json"))).size, 9);
  }
});

checkpointTest("recoverCheckpoint() does not mind what a killed process left", async (last) => {
  await Deno.rename(last, `${last}.new`); // between the two renames
  const { checkpoint, damage } = await recoverCheckpoint(last);
  assert.deepEqual(checkpoint, smallCheckpoint(6));
  assert.equal(damage, null);
});
