import assert from "node:assert/strict";
import { join } from "node:path";
import {
  type Checkpoint,
  loadCheckpoint,
  recoverCheckpoint,
  saveCheckpoint,
} from "../../model/checkpoint.ts";
import { uniform } from "../testing.ts";
import { bitsOf, modelTest, tinyAdapter, tinyConfig, tinyStep, tinyTrainer } from "./tiny.ts";

const FILES = [
  "adapter_config.json",
  "adapter_model.safetensors",
  "trainer.json",
  "trainer.safetensors",
];

// Values whose bits a detour through text or f64 arithmetic would change.
const AWKWARD = [-0, 1.401298464324817e-45, 3.4028234663852886e38, 1 / 3, -1e-30];

function makeCheckpoint(step = 7): Checkpoint {
  const awkward = (size: number, seed: number) => {
    const values = uniform(size, seed);
    values.set(AWKWARD);
    return values;
  };
  return {
    adapter: {
      modules: [0, 1].map((i) => ({
        name: `blocks.${i}.attn.proj`,
        rank: 2,
        alpha: 3.5,
        loraA: awkward(16, i),
        loraB: awkward(12, 10 + i),
      })),
      head: null,
      logitScale: Math.fround(2.659),
      dropout: 0.1,
      rslora: false,
      baseModel: "small",
      input: null,
    },
    optimiser: { step, m: awkward(64, 3), v: awkward(64, 4), scaler: awkward(8, 5) },
    progress: {
      step,
      epoch: 1,
      batch: 2,
      sampler: { epoch: 1, pairs: 40, carried: [3, 1, 4] },
      best: { overall: 47.23, visloc: 1 / 3 },
      losses: { sum: 12.345678901234567, count: 9 },
      written: { log: 1234, metrics: 0 },
      flags: { lr: 3e-4, resume: null, with_weight: true, "lora_targets": "attn.qkv" },
      inputs: { pairs: "a1", weights: "b2" },
    },
  };
}

/** Registers a test with a folder for checkpoints. */
function folderTest(name: string, fn: (folder: string) => Promise<void>): void {
  Deno.test(name, async () => {
    const folder = await Deno.makeTempDir();
    try {
      await fn(join(folder, "last"));
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}

folderTest("loadCheckpoint() returns what saveCheckpoint() wrote, bit by bit", async (folder) => {
  const checkpoint = makeCheckpoint();
  await saveCheckpoint(folder, checkpoint);
  const found = await Array.fromAsync(Deno.readDir(folder), ({ name }) => name);
  assert.deepEqual(found.sort(), FILES);
  assert.deepEqual(await loadCheckpoint(folder), checkpoint); // strict: -0 is not 0
});

folderTest("saveCheckpoint() replaces the checkpoint that was there", async (folder) => {
  await saveCheckpoint(folder, makeCheckpoint(7));
  await saveCheckpoint(folder, makeCheckpoint(8));
  assert.deepEqual(await loadCheckpoint(folder), makeCheckpoint(8));
});

folderTest(
  "loadCheckpoint() finds the old one where a save was killed in between",
  async (folder) => {
    await saveCheckpoint(folder, makeCheckpoint());
    await Deno.rename(folder, `${folder}.old`);
    assert.deepEqual(await loadCheckpoint(folder), makeCheckpoint());
  },
);

/** The error names the file and is one line. */
async function assertDamaged(folder: string, file: string, what: string): Promise<void> {
  await assert.rejects(loadCheckpoint(folder), (error: Error) => {
    const verb = what === "gone" ? "read" : "load";
    assert(error.message.startsWith(`Cannot ${verb} ${join(folder, file)}: `), error.message);
    assert(!error.message.includes("\n"), error.message);
    return true;
  }, `${file} ${what}`);
}

for (const file of FILES) {
  folderTest(`loadCheckpoint() notices ${file} cut short, changed or gone`, async (folder) => {
    await saveCheckpoint(folder, makeCheckpoint());
    const path = join(folder, file);
    const whole = await Deno.readFile(path);
    for (const length of [0, 1, whole.length >> 1, whole.length - 2, whole.length - 1]) {
      await Deno.writeFile(path, whole.subarray(0, length));
      await assertDamaged(folder, file, `cut to ${length} bytes`);
    }
    // Every kind of place: names, digits, brackets, spaces, numbers' bits.
    const stride = Math.ceil(whole.length / 150);
    for (let i = 0; i < whole.length; i += stride) {
      await Deno.writeFile(path, whole.with(i, whole[i]! ^ 1));
      await assertDamaged(folder, file, `changed at ${i} of ${whole.length}`);
    }
    await Deno.writeFile(path, new Uint8Array([...whole, 10]));
    await assertDamaged(folder, file, "with a line more");
    await Deno.remove(path);
    await assertDamaged(folder, file, "gone");
    await Deno.writeFile(path, whole);
    assert.deepEqual(await loadCheckpoint(folder), makeCheckpoint());
  });
}

folderTest("loadCheckpoint() says which key of the state is wrong", async (folder) => {
  const checkpoint = makeCheckpoint();
  await saveCheckpoint(folder, {
    ...checkpoint,
    progress: { ...checkpoint.progress, losses: { sum: NaN, count: 9 } }, // JSON has no NaN
  });
  await assert.rejects(
    loadCheckpoint(folder),
    /^TypeError: Cannot load .*trainer\.json: "losses\.sum" is null, expected number$/,
  );
});

folderTest("recoverCheckpoint() falls back to the one before a damaged one", async (folder) => {
  await saveCheckpoint(folder, makeCheckpoint(7));
  await saveCheckpoint(folder, makeCheckpoint(8));
  const whole = await recoverCheckpoint(folder);
  assert.deepEqual(whole, { checkpoint: makeCheckpoint(8), damage: null });
  const path = join(folder, "trainer.safetensors");
  const bytes = await Deno.readFile(path);
  await Deno.writeFile(path, bytes.subarray(9));
  const { checkpoint, damage } = await recoverCheckpoint(folder);
  assert.deepEqual(checkpoint, makeCheckpoint(7));
  assert(damage!.startsWith(`Cannot load ${path}: `), damage!);
  assert.deepEqual(await loadCheckpoint(folder), makeCheckpoint(7));
  const kept = await Deno.readFile(join(`${folder}.damaged`, "trainer.safetensors"));
  assert.deepEqual(kept, bytes.subarray(9)); // it may hold what somebody can mend
});

folderTest(
  "recoverCheckpoint() takes a missing file and a strange key for damage",
  async (folder) => {
    const path = join(folder, "trainer.json");
    const damages: (() => Promise<void>)[] = [
      () => Deno.remove(path),
      async () => {
        const state = JSON.parse(await Deno.readTextFile(path));
        await Deno.writeTextFile(path, JSON.stringify({ ...state, of_a_later_version: 1 }));
      },
    ];
    for (const damage of damages) {
      await saveCheckpoint(folder, makeCheckpoint(7));
      await saveCheckpoint(folder, makeCheckpoint(8));
      await damage();
      assert.deepEqual((await recoverCheckpoint(folder)).checkpoint, makeCheckpoint(7));
    }
  },
);

for (const name of ["trainer.json", "adapter_model.safetensors"]) {
  folderTest(`recoverCheckpoint() keeps both where ${name} cannot be read now`, async (folder) => {
    await saveCheckpoint(folder, makeCheckpoint(7));
    await saveCheckpoint(folder, makeCheckpoint(8));
    const { readFile } = Deno;
    Deno.readFile = (path, options) =>
      path === join(folder, name)
        ? Promise.reject(new Error("Input/output error (os error 5)"))
        : readFile(path, options);
    try {
      await assert.rejects(
        recoverCheckpoint(folder),
        new Error(`Cannot read ${join(folder, name)}: Input/output error (os error 5)`),
      );
    } finally {
      Deno.readFile = readFile;
    }
    const whole = { checkpoint: makeCheckpoint(8), damage: null };
    assert.deepEqual(await recoverCheckpoint(folder), whole);
    assert.deepEqual(await loadCheckpoint(`${folder}.old`), makeCheckpoint(7));
  });
}

folderTest("recoverCheckpoint() throws what is wrong where none is whole", async (folder) => {
  await saveCheckpoint(folder, makeCheckpoint(7));
  await saveCheckpoint(folder, makeCheckpoint(8));
  for (const each of [folder, `${folder}.old`]) await Deno.truncate(join(each, "trainer.json"), 5);
  await assert.rejects(recoverCheckpoint(folder), (error: Error) => {
    return error.message.startsWith(`Cannot load ${join(folder, "trainer.json")}: `);
  });
});

modelTest("a run goes on from a checkpoint digit for digit", async (gpu) => {
  const folder = join(await Deno.makeTempDir(), "last");
  const losses = async (steps: number, from: Checkpoint | null) => {
    const adapter = from?.adapter ?? tinyAdapter(tinyConfig(), { dropout: 0.3 });
    const trainer = await tinyTrainer(gpu, { adapter });
    if (from) trainer.writeState(from.optimiser);
    for (let i = 0; i < steps; i++) tinyStep(trainer);
    const results = await trainer.results();
    const optimiser = await trainer.readState();
    const progress = { ...makeCheckpoint().progress, step: optimiser.step };
    await saveCheckpoint(folder, { adapter: await trainer.adapter(), optimiser, progress });
    trainer.destroy();
    return results;
  };
  const whole = await losses(4, null);
  const { adapter } = await loadCheckpoint(folder);
  const begun = await losses(2, null);
  const resumed = await losses(2, await loadCheckpoint(folder));
  assert.deepEqual([...begun, ...resumed], whole);
  assert.equal(bitsOf((await loadCheckpoint(folder)).adapter), bitsOf(adapter));
  await Deno.remove(join(folder, ".."), { recursive: true });
});
