import assert from "node:assert/strict";
import type { PairLoader } from "../../data/loader.ts";
import type { Pair } from "../../data/pairs.ts";
import type { RunProgress } from "../../model/checkpoint.ts";
import type { Precision } from "../../model/network.ts";
import type { StepResult, Trainer } from "../../model/trainer.ts";
import type { RunFolder } from "../../scripts/run_folder.ts";
import { Diverged, StepLog } from "../../scripts/step_log.ts";
import type { TrainFlags } from "../../scripts/train_flags.ts";

/** A step that went well. */
const GOOD: StepResult = {
  step: 0,
  lr: 1e-3,
  loss: 2,
  logitScale: 2.5,
  skipped: false,
  skippedInARow: 0,
  lossScale: 1,
  gradNorm: 1,
  gradMax: 0.5,
};

/** A log of steps that went so, on pairs 4 and 5 of entries 40 and 50 each. */
function logOf(results: StepResult[], precision: Precision) {
  const notes: string[] = [];
  const metrics: Record<string, unknown>[] = [];
  const loaded: unknown[] = [];
  const state = { epoch: 3, losses: { sum: 0, count: 0 } } as RunProgress;
  const gradients = new Map([
    ["head.0.weight", Float32Array.of(-3, 1)],
    ["head.0.bias", Float32Array.of(Infinity, NaN, 2)],
    ["head.3.bias", Float32Array.of(1, Infinity)],
  ]);
  const log = new StepLog({
    flags: { batch_size: 2, with_weight: false, label_smoothing: 0 } as TrainFlags,
    pairs: Array.from({ length: 6 }, (_, i) => ({ entry: 10 * i }) as Pair),
    trainer: {
      network: { precision },
      results: () => Promise.resolve(results),
      write: () => {},
      gradients: (step: number) => (loaded.push(step), Promise.resolve(gradients)),
    } as unknown as Trainer,
    loader: {
      async *batches(...wanted: unknown[]) {
        loaded.push(...wanted);
        yield { pixels: new Uint8Array(), weights: new Float32Array(2), pairs: [4, 5] };
      },
    } as unknown as PairLoader,
    folder: {
      metrics: (line: Record<string, unknown>) => metrics.push(line),
      note: (line: string) => notes.push(line),
      record: (line: string) => notes.push(line),
      join: (name: string) => name,
    } as unknown as RunFolder,
    state,
    total: 100,
  });
  for (const _ of results) log.queued([4, 5]);
  return { log, notes, metrics, loaded, state };
}

/** Steps in a row without finite gradients. */
function skippedSteps(count: number, loss = NaN): StepResult[] {
  return Array.from({ length: count }, (_, i) => ({
    ...GOOD,
    step: i,
    loss,
    skipped: true,
    skippedInARow: i + 1,
    lossScale: 512 / 2 ** i,
  }));
}

Deno.test("StepLog adds up losses and writes a line a step", async () => {
  const { log, notes, metrics, state } = logOf([GOOD, { ...GOOD, step: 1, loss: 4 }], "f32");
  await log.flush();
  await log.show([]); // changes nothing
  assert.deepEqual(state.losses, { sum: 6, count: 2 });
  const rest = { lr: 1e-3, logit_scale: 2.5, grad_norm: 1, skipped: false, loss_scale: 1 };
  assert.deepEqual(metrics.map(({ images_per_s: _, ...line }) => line), [
    { step: 0, epoch: 3, loss: 2, ...rest },
    { step: 1, epoch: 3, loss: 4, ...rest },
  ]);
  assert.deepEqual(notes, []);
});

Deno.test("StepLog counts images by the time of the steps alone", async () => {
  const { now } = performance;
  let time = 0;
  performance.now = () => time;
  try {
    const { log, metrics } = logOf([GOOD, { ...GOOD, step: 1 }], "f32");
    time += 60_000; // an evaluation
    log.restart();
    time += 2000;
    await log.flush();
    const images = 2 * 2 * 2; // 2 steps of 2 pairs
    assert.deepEqual(metrics.map((line) => line.images_per_s), [images / 2, images / 2]);
  } finally {
    performance.now = now;
  }
});

Deno.test("StepLog is due when the queued steps will have taken half a second", async () => {
  const { now } = performance;
  let time = 0;
  performance.now = () => time;
  try {
    const { log } = logOf([GOOD, { ...GOOD, step: 1 }], "f32"); // queues both
    assert(log.isDue, "nothing is known of the first step but that somebody waits for it");
    time += 400;
    await log.show([GOOD, { ...GOOD, step: 1 }]); // 200 ms each
    const due = [log.isDue];
    for (let step = 2; step < 5; step++) {
      log.queued([4, 5]);
      due.push(log.isDue);
    }
    assert.deepEqual(due, [false, false, false, true]);
    time += 600;
    await log.show([{ ...GOOD, step: 2 }]); // of three
    assert(log.isDue, "two steps of 600 ms are queued");
    await log.show([{ ...GOOD, step: 3 }, { ...GOOD, step: 4 }]); // 0 ms
    time += 499;
    assert(!log.isDue);
    time += 1;
    assert(log.isDue, "nothing was shown for half a second");
  } finally {
    performance.now = now;
  }
});

Deno.test("StepLog goes on in f16 while the loss scale is lowered, 19 times in a row", async () => {
  const { log, notes, state } = logOf([...skippedSteps(19), { ...GOOD, step: 19 }], "f16");
  await log.flush();
  assert.equal(notes.length, 19);
  assert.equal(notes[1], "step 1: gradients overflowed, loss scale lowered to 256");
  assert.deepEqual(state.losses, { sum: 2, count: 1 });
});

const ends: [name: string, steps: StepResult[], precision: Precision, message: string][] = [
  ["in f16 after 20 steps", skippedSteps(20, Infinity), "f16", "step 19: loss Infinity, 20 steps"],
  ["in f32 after the first step", skippedSteps(1), "f32", "step 0: loss NaN, 1 steps"],
  ["in f32 if only the gradient is bad", skippedSteps(1, 2), "f32", "step 0: loss 2, 1 steps"],
  ["if only the loss is bad", [{ ...GOOD, loss: NaN }], "f16", "step 0: loss NaN, 0 steps"],
];
for (const [name, steps, precision, message] of ends) {
  Deno.test(`StepLog stops ${name}, and names gradient and entries`, async () => {
    const { log, notes, loaded, metrics } = logOf(steps, precision);
    const { step } = steps.at(-1)!;
    await assert.rejects(log.flush(), (error: Error) => {
      assert(error instanceof Diverged);
      assert.equal(
        error.message,
        `Cannot go on after ${message} in a row without finite gradients, largest gradient NaN ` +
          "in head.0.bias; start a new run with a lower --lr, or see the entries of the batch in log.txt",
      );
      assert.deepEqual(notes.slice(-2), [`step ${step} trained on entries 40, 50`, error.message]);
      return true;
    });
    assert.deepEqual(loaded, [3, [[4, 5]], step], "the batch of the step is made again");
    assert.equal(metrics.length, steps.length);
  });
}

Deno.test("StepLog names the entries of the oldest of the queued steps", async () => {
  const { log, notes } = logOf([], "f32");
  for (const pairs of [[1, 2], [3], [4, 5]]) log.queued(pairs);
  await assert.rejects(log.show(skippedSteps(1)), Diverged);
  assert.equal(notes[0], "step 0 trained on entries 10, 20");
});

Deno.test("StepLog shows the last step as the last one, and leaves the line", async () => {
  const { stderr } = Deno;
  const before = { isTerminal: stderr.isTerminal, writeSync: stderr.writeSync };
  let written = "";
  stderr.isTerminal = () => true;
  stderr.writeSync = (bytes) => (written += new TextDecoder().decode(bytes), bytes.length);
  try {
    const { log } = logOf([{ ...GOOD, step: 99 }], "f32");
    await log.flush();
  } finally {
    Object.assign(stderr, before);
  }
  assert.match(written, / 100\/100 /);
  assert(written.endsWith("\r\x1b[K"), "the next line begins at the margin");
});
