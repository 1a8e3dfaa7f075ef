/**
 * Saving a checkpoint, cut short before each of the changes that it makes to the disk.
 *
 * @module
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { type Checkpoint, recoverCheckpoint, saveCheckpoint } from "../../model/checkpoint.ts";
import { namesIn } from "./runs.ts";
import { smallCheckpoint } from "./small_checkpoint.ts";

/** Calls that change the disk, or make a change last. */
const CALLS = [
  [Deno, "mkdir"],
  [Deno, "rename"],
  [Deno, "remove"],
  [Deno, "open"],
  [Deno.FsFile.prototype, "write"],
  [Deno.FsFile.prototype, "sync"],
] as const;

class Fault extends Error {
  code = "ENOSPC";
}

/**
 * Counts those calls while `fn` runs. Call number `at` fails, a write after half of its bytes;
 * `forever`: so do all that follow, as if the process had been killed there.
 *
 * @returns How many calls there were.
 */
async function withFault(
  { at, forever }: { at: number; forever: boolean },
  fn: () => Promise<void>,
): Promise<number> {
  let count = 0;
  const undo: (() => void)[] = [];
  for (const [owner, name] of CALLS) {
    const methods = owner as unknown as Record<string, (...args: unknown[]) => Promise<unknown>>;
    const method = methods[name]!;
    methods[name] = async function (this: unknown, ...args) {
      const isFaulty = forever ? count >= at : count === at;
      count++;
      if (!isFaulty) return await method.apply(this, args);
      if (name === "write" && count - 1 === at) {
        const [bytes] = args as [Uint8Array];
        await method.call(this, bytes.subarray(0, bytes.length / 2));
      }
      throw new Fault("No space left on device");
    };
    undo.push(() => methods[name] = method);
  }
  try {
    await fn();
  } catch (error) {
    const isFault = error instanceof Fault || (error as Error).cause instanceof Fault;
    if (!isFault) throw error;
  } finally {
    for (const each of undo) each();
  }
  return count;
}

const FIVE: Checkpoint[] = Array.from({ length: 5 }, (_, step) => smallCheckpoint(step));

async function save(last: string, step: number): Promise<void> {
  await saveCheckpoint(last, FIVE[step]!);
}

/** Step of the checkpoint that a resumed run starts from, null for none; it must be that whole. */
async function savedStep(last: string): Promise<number | null> {
  const found = await recoverCheckpoint(last).catch(() => null);
  if (found === null) return null;
  assert.equal(found.damage, null);
  assert.deepEqual(found.checkpoint, FIVE[found.checkpoint.progress.step]);
  return found.checkpoint.progress.step;
}

/** Nothing here cuts the power, and waiting for a disk takes most of the time. */
const { sync } = Deno.FsFile.prototype;
Deno.test.beforeAll(() => {
  Deno.FsFile.prototype.sync = () => Promise.resolve();
});
Deno.test.afterAll(() => {
  Deno.FsFile.prototype.sync = sync;
});

/** Tries every place for a fault in `saves` saves; `check` gets the number of saves that worked. */
async function everywhere(
  { saves, forever }: { saves: number; forever: boolean },
  check: (last: string, done: number) => Promise<void>,
): Promise<number> {
  for (let at = 0;; at++) {
    const folder = await Deno.makeTempDir();
    const last = join(folder, "last");
    let done = 0;
    try {
      const calls = await withFault({ at, forever }, async () => {
        for (; done < saves; done++) await save(last, done);
      });
      await check(last, done);
      const left = namesIn(folder);
      assert.deepEqual(left, ["last", "last.old"], `a fault in call ${at} leaves something`);
      if (calls <= at) return at;
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  }
}

Deno.test("saveCheckpoint() loses nothing that was saved, wherever it is killed", async () => {
  const calls = await everywhere({ saves: 3, forever: true }, async (last, done) => {
    const step = await savedStep(last);
    // Killed while it cleans up, a save has been done all the same.
    assert(
      step === done || step === done - 1 || (step === null && done === 0),
      `killed in save ${done}, there is ${step}`,
    );
    await save(last, 3);
    assert.equal(await savedStep(last), 3);
    await save(last, 4);
    assert.equal(await savedStep(last), 4);
  });
  assert(calls > 3 * 15, `only ${calls} calls were tried`);
});

Deno.test("saveCheckpoint() keeps the last checkpoint wherever a write fails", async () => {
  const calls = await everywhere({ saves: 3, forever: false }, async (last, done) => {
    const step = await savedStep(last);
    assert(step === done || step === done - 1 || (step === null && done === 0));
    await save(last, 3);
    await save(last, 4);
    assert.equal(await savedStep(last), 4);
  });
  assert(calls > 3 * 15, `only ${calls} calls were tried`);
});

Deno.test("saveCheckpoint() gives the older of two checkpoints up when the disk is full", async () => {
  const folder = await Deno.makeTempDir();
  const last = join(folder, "last");
  await save(last, 0);
  await save(last, 1);
  await withFault({ at: 3, forever: false }, () => save(last, 2)); // its first write
  assert.equal(await savedStep(last), 2);
  const old = await recoverCheckpoint(`${last}.old`);
  assert.equal(old.checkpoint.progress.step, 1);
  await Deno.remove(folder, { recursive: true });
});
