import assert from "node:assert/strict";
import { join, relative } from "node:path";
import type { LoraModule } from "../../model/adapter.ts";
import { type Checkpoint, loadCheckpoint } from "../../model/checkpoint.ts";
import type { Trainer } from "../../model/trainer.ts";
import { RunFolder } from "../../scripts/run_folder.ts";
import { Saver } from "../../scripts/saver.ts";
import { namesIn } from "../faults/runs.ts";
import { smallCheckpoint } from "../faults/small_checkpoint.ts";

/** What stands still: a trainer, at a checkpoint. */
interface Standing extends Omit<Checkpoint, "progress"> {
  trainer: Trainer;
}

/** Registers a test with the saver of a run. */
function saverTest(
  name: string,
  fn: (saver: Saver, path: string, standing: Standing) => Promise<void>,
): void {
  Deno.test(name, async () => {
    const path = await Deno.makeTempDir();
    const folder = new RunFolder(path);
    const { adapter, optimiser } = smallCheckpoint(1);
    const trainer = {
      adapter: () => Promise.resolve(adapter),
      readState: () => Promise.resolve(optimiser),
    } as unknown as Trainer;
    try {
      await fn(new Saver(folder, trainer, null), path, { trainer, adapter, optimiser });
    } finally {
      folder.close();
      await Deno.remove(path, { recursive: true });
    }
  });
}

/** Lets no file be written below `path` while `last.old` is there. */
async function withoutRoom(path: string, fn: () => Promise<void>): Promise<void> {
  const { write } = Deno.FsFile.prototype;
  Deno.FsFile.prototype.write = function (bytes) {
    if (!namesIn(path).includes("last.old")) return write.call(this, bytes);
    return Promise.reject(Object.assign(new Error("No space left on device"), { code: "ENOSPC" }));
  };
  try {
    await fn();
  } finally {
    Deno.FsFile.prototype.write = write;
  }
}

saverTest(
  "Saver gives last.old up for adapters that a full disk does not take",
  async (saver, path) => {
    const { progress } = smallCheckpoint(1);
    for (const write of [() => saver.write(progress), () => saver.finish()]) {
      await saver.write(progress);
      await saver.write(progress);
      assert(namesIn(path).includes("last.old"));
      await saver.keep("best_overall");
      await withoutRoom(path, write);
    }
    const files = ["adapter_config.json", "adapter_model.safetensors"];
    for (const name of ["best_overall", "final"]) {
      assert.deepEqual(
        namesIn(join(path, name)),
        files,
      );
    }
    assert(!namesIn(path).includes("last.old"));
    assert(namesIn(path).includes("last"));
  },
);

saverTest(
  "Saver keeps the last checkpoint in place of one that is not finite, which nobody could read",
  async (saver, path, { adapter, optimiser }) => {
    const { progress } = smallCheckpoint(1);
    await saver.write(progress);
    const last = await loadCheckpoint(join(path, "last"));
    const [{ loraB }] = adapter.modules as [LoraModule];
    for (const values of [loraB, optimiser.v]) {
      const whole = values[1]!;
      values[1] = Infinity;
      await saver.tryWrite(progress);
      await assert.rejects(saver.write(progress), TypeError);
      values[1] = whole;
    }
    loraB[1] = NaN;
    await assert.rejects(
      saver.finish(),
      new TypeError(
        'Cannot store tensor "base_model.model.blocks.0.attn.qkv.lora_B.weight": value 1 is NaN, ' +
          "expected a finite number",
      ),
    );
    assert.deepEqual(namesIn(path), ["last", "log.txt", "metrics.jsonl"]);
    assert.deepEqual(await loadCheckpoint(join(path, "last")), last);
    assert.match(
      await Deno.readTextFile(join(path, "log.txt")),
      /^(warning: cannot save after 1 steps: Cannot store tensor .*; training goes on, 1 steps are saved\n){2}$/,
    );
  },
);

saverTest("Saver writes adapters that wait before the checkpoint", async (saver, path) => {
  const { rename } = Deno;
  const written: string[] = [];
  Deno.rename = (from, to) => {
    written.push(relative(path, `${to}`));
    return rename(from, to);
  };
  try {
    await saver.keep("best_overall");
    await saver.write(smallCheckpoint(1).progress);
  } finally {
    Deno.rename = rename;
  }
  assert.deepEqual(written, ["best_overall", "last"]);
});

saverTest(
  "Saver keeps neither last nor final back for an adapter that cannot be written",
  async (saver, path) => {
    const { rename } = Deno;
    const { progress } = smallCheckpoint(1);
    const bestIn = async () => (await loadCheckpoint(join(path, "last"))).progress.best;
    const earlier = { ...progress, best: { overall: 40 } };
    await saver.write(earlier);
    await saver.keep("best_overall");
    await saver.keep("best_2024-05-01");
    Deno.rename = (from, to) =>
      `${to}`.endsWith("best_overall") ? Promise.reject(new Error("busy")) : rename(from, to);
    try {
      await saver.tryWrite(progress);
      assert.equal(saver.savedStep, 1);
      // That of the folder as it is: a resumed run shall not put a worse one there.
      assert.deepEqual(await bestIn(), { overall: 40, "2024-05-01": 12.5 });
      await saver.finish();
      Deno.rename = () => Promise.reject(new Error("busy"));
      await assert.rejects(saver.finish(), /^Error: Cannot write .*final: busy$/);
    } finally {
      Deno.rename = rename;
    }
    const log = await Deno.readTextFile(join(path, "log.txt"));
    const failure = `Cannot write ${join(path, "best_overall")}: busy`;
    assert.deepEqual(log.split("\n"), [
      `warning: cannot save after 1 steps: ${failure}; training goes on, 1 steps are saved`,
      `warning: ${failure}`,
      `finished: ${join(path, "final")}`,
      "",
    ]);
    assert.deepEqual(namesIn(path), [
      ...["best_2024-05-01", "final", "last", "last.old", "log.txt", "metrics.jsonl"],
    ]);
    await saver.write(progress);
    assert(namesIn(path).includes("best_overall"));
    assert.deepEqual(await bestIn(), progress.best);
  },
);

saverTest("Saver.tryWrite() lets nothing but the disk fail", async (saver, path, { trainer }) => {
  trainer.readState = () => Promise.reject(new Error("GPU lost"));
  await assert.rejects(saver.tryWrite(smallCheckpoint(1).progress), new Error("GPU lost"));
  assert.equal(await Deno.readTextFile(join(path, "log.txt")), "", "it is no warning");
});

saverTest("Saver makes names of folders that every system knows", async (saver, path) => {
  const names = {
    "best_overall": "best_overall",
    "best_2024-05-01 São_Paulo v1.2": "best_2024-05-01 São_Paulo v1.2",
    "best_../../a:b*?": "best_..%2f..%2fa%3ab%2a%3f",
    'best_c\\"<>|\n%2f': "best_c%5c%22%3c%3e%7c%0a%252f",
    "best_d.": "best_d%2e",
    "best_e ": "best_e%20",
    "best_🛰": "best_%f0%9f%9b%b0",
  };
  for (const name of Object.keys(names)) await saver.keep(name);
  await saver.write(smallCheckpoint(1).progress);
  assert.deepEqual(
    namesIn(path).filter((name) => name.startsWith("best_")),
    Object.values(names).sort(),
  );
});

saverTest(
  "Saver of a resumed run knows what is saved, and the recall of an adapter that it cannot replace",
  async (_, parent, { trainer }) => {
    const { progress } = smallCheckpoint(1);
    const path = join(parent, "run");
    await Deno.mkdir(path);
    const folder = new RunFolder(path);
    const saver = new Saver(folder, trainer, { step: 7, best: { "a:b": 40 } });
    assert.equal(saver.savedStep, 7);
    await saver.keep("best_a:b");
    const { rename } = Deno;
    Deno.rename = (from, to) =>
      `${to}`.endsWith("best_a%3ab") ? Promise.reject(new Error("busy")) : rename(from, to);
    try {
      await saver.tryWrite({ ...progress, best: { "a:b": 50, c: 60 } });
    } finally {
      Deno.rename = rename;
      folder.close();
    }
    assert.equal(saver.savedStep, 1, "last/ is written");
    const { best } = (await loadCheckpoint(join(path, "last"))).progress;
    assert.deepEqual(best, { "a:b": 40, c: 60 });
  },
);

saverTest("Saver.age is the time since a save was last tried", async (saver) => {
  const { now } = performance;
  try {
    const start = now.call(performance);
    performance.now = () => start + 1000;
    assert(saver.age > 900);
    await saver.tryWrite(smallCheckpoint(1).progress);
    assert.equal(saver.age, 0);
  } finally {
    performance.now = now;
  }
});

/** A run's folder below `parent`, and a saver that writes there. */
async function makeRun(parent: string, trainer: Trainer) {
  const path = join(parent, "run");
  await Deno.mkdir(path);
  const folder = new RunFolder(path);
  return { path, folder, saver: new Saver(folder, trainer, null) };
}

saverTest(
  "Saver lets last/ know the bytes of the log and the metrics",
  async (_, parent, { trainer }) => {
    const { path, folder, saver } = await makeRun(parent, trainer);
    folder.metrics({ step: 0, loss: 1.5 });
    await saver.write(smallCheckpoint(1).progress);
    folder.close();
    const { written } = (await loadCheckpoint(join(path, "last"))).progress;
    assert.deepEqual(written, { log: 0, metrics: '{"step":0,"loss":1.5}\n'.length });
  },
);

saverTest(
  "Saver gives last.old up for lines that a full disk does not take",
  async (_, parent, { trainer }) => {
    const { path, folder, saver } = await makeRun(parent, trainer);
    const { progress } = smallCheckpoint(1);
    for (let i = 0; i < 2; i++) await saver.write(progress);
    const { writeSync } = Deno.FsFile.prototype;
    Deno.FsFile.prototype.writeSync = function (bytes) {
      if (!namesIn(path).includes("last.old")) return writeSync.call(this, bytes);
      throw Object.assign(new Error("No space left on device"), { code: "ENOSPC" });
    };
    try {
      folder.metrics({ step: 1 }); // waits
      await saver.write(progress);
    } finally {
      Deno.FsFile.prototype.writeSync = writeSync;
      folder.close();
    }
    assert.equal(await Deno.readTextFile(join(path, "metrics.jsonl")), '{"step":1}\n');
  },
);
