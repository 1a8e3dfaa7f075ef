import assert from "node:assert/strict";
import { join } from "node:path";
import { createRunFolder, findRun, RunFolder } from "../../scripts/run_folder.ts";

/** Registers a test with an empty folder; lines that go to stdout and stderr are kept. */
function folderTest(
  name: string,
  fn: (folder: string, printed: { out: string[]; err: string[] }) => Promise<void> | void,
): void {
  Deno.test(name, async () => {
    const folder = await Deno.makeTempDir();
    const printed = { out: [] as string[], err: [] as string[] };
    const before = [Deno.stdout.writeSync, Deno.stderr.writeSync] as const;
    const keep = (lines: string[]) => (bytes: Uint8Array) => {
      lines.push(new TextDecoder().decode(bytes).trimEnd());
      return bytes.length;
    };
    Deno.stdout.writeSync = keep(printed.out);
    Deno.stderr.writeSync = keep(printed.err);
    try {
      await fn(folder, printed);
    } finally {
      [Deno.stdout.writeSync, Deno.stderr.writeSync] = before;
      await Deno.remove(folder, { recursive: true });
    }
  });
}

const NOON = new Date(2026, 8, 3, 12, 4, 59); // local time, September

folderTest("createRunFolder() names a folder after model and time", async (folder) => {
  const paths: string[] = [];
  for (let i = 0; i < 3; i++) {
    const run = createRunFolder(join(folder, "a", "b"), "vit.lvd1689m", NOON);
    paths.push(run.path);
    run.close();
  }
  const first = join(folder, "a", "b", "vit_lvd1689m", "0903120459");
  assert.deepEqual(paths, [first, `${first}_2`, `${first}_3`]); // in one second
  for (const path of paths) assert((await Deno.stat(path)).isDirectory);
});

folderTest("createRunFolder() leaves a folder to whoever made it just before", (folder) => {
  const { mkdirSync } = Deno;
  const taken = join(folder, "vit", "0903120459");
  Deno.mkdirSync = (path, options) => {
    if (path === taken) mkdirSync(path, { recursive: true }); // another process is faster
    mkdirSync(path, options);
  };
  try {
    const run = createRunFolder(folder, "vit", NOON);
    run.close();
    assert.equal(run.path, `${taken}_2`);
  } finally {
    Deno.mkdirSync = mkdirSync;
  }
  assert.deepEqual([...Deno.readDirSync(taken)], []);
});

folderTest("createRunFolder() says where it cannot make one", async (folder) => {
  const file = join(folder, "file");
  await Deno.writeTextFile(file, "");
  assert.throws(() => createRunFolder(file, "vit", NOON), (error: Error) => {
    return error.message.startsWith(`Cannot make run folder ${join(file, "vit", "0903120459")}: `);
  });
  assert.throws(() => createRunFolder(folder, "file", NOON), (error: Error) => {
    return error.message.startsWith(`Cannot make run folder ${join(file, "0903120459")}: `);
  });
});

folderTest(
  "RunFolder keeps what it prints, and metrics that it does not",
  async (folder, printed) => {
    const run = new RunFolder(folder);
    run.log("R@1: 47 %");
    run.note("café");
    run.record("only in the file");
    run.metrics({ step: 1, loss: 0.5 });
    run.metrics({ step: 2, loss: null });
    assert.deepEqual(printed, { out: ["R@1: 47 %"], err: ["café"] });
    const text = (name: string) => Deno.readTextFile(join(folder, name));
    const log = "R@1: 47 %\ncafé\nonly in the file\n";
    const metrics = '{"step":1,"loss":0.5}\n{"step":2,"loss":null}\n';
    assert.equal(await text("log.txt"), log);
    assert.equal(await text("metrics.jsonl"), metrics);
    assert.deepEqual(run.written(), { log: log.length + 1, metrics: metrics.length }); // é is 2 bytes
    assert.equal(run.join("last"), join(folder, "last"));
    run.close();
  },
);

folderTest("RunFolder.written() counts bytes that are on the disk for good", (folder) => {
  const { prototype } = Deno.FsFile;
  const { syncSync } = prototype;
  const synced = new Set<Deno.FsFile>();
  prototype.syncSync = function () {
    synced.add(this);
    syncSync.call(this);
  };
  const run = new RunFolder(folder);
  try {
    run.written();
  } finally {
    prototype.syncSync = syncSync;
    run.close();
  }
  assert.equal(synced.size, 2); // log and metrics
});

folderTest("RunFolder goes on with the files that are there", async (folder) => {
  for (const line of ["one", "two"]) {
    const run = new RunFolder(folder);
    run.log(line);
    run.close();
    run.close(); // a second time does no harm
  }
  assert.equal(await Deno.readTextFile(join(folder, "log.txt")), "one\ntwo\n");
});

folderTest("RunFolder.rewind() cuts off what came after a checkpoint", async (folder) => {
  const run = new RunFolder(folder);
  run.log("kept");
  run.metrics({ step: 1 });
  const written = run.written();
  run.log("lost");
  run.metrics({ step: 2 });
  run.rewind(written);
  assert.deepEqual(run.written(), written);
  run.log("new");
  run.metrics({ step: 3 });
  const text = (name: string) => Deno.readTextFile(join(folder, name));
  assert.equal(await text("log.txt"), "kept\nnew\n");
  assert.equal(await text("metrics.jsonl"), '{"step":1}\n{"step":3}\n');
  run.rewind({}); // says nothing of either
  run.rewind({ log: 1e6, metrics: 0 }); // more than there is
  assert.equal(await text("log.txt"), "kept\nnew\n");
  assert.equal(await text("metrics.jsonl"), "");
  run.close();
});

folderTest("RunFolder is written by one process at a time", async (folder) => {
  const run = new RunFolder(folder);
  assert.throws(
    () => new RunFolder(folder),
    new Error(`Cannot write to run ${folder}: another process writes to it`),
  );
  run.log("still open");
  run.close();
  new RunFolder(folder).close();
  assert.equal(await Deno.readTextFile(join(folder, "log.txt")), "still open\n");
});

/** Replaces what writes to files while `use` runs. */
async function withDisk(
  write: (file: Deno.FsFile, bytes: Uint8Array) => number,
  use: () => Promise<void> | void,
): Promise<void> {
  const { prototype } = Deno.FsFile;
  const { writeSync } = prototype;
  prototype.writeSync = function (bytes) {
    prototype.writeSync = writeSync;
    try {
      return write(this, bytes);
    } finally {
      prototype.writeSync = replaced;
    }
  };
  const replaced = prototype.writeSync;
  try {
    await use();
  } finally {
    prototype.writeSync = writeSync;
  }
}

folderTest("RunFolder keeps lines that a full disk does not take", async (folder, { err }) => {
  const run = new RunFolder(folder);
  const full = () => {
    throw new Error("No space left on device (os error 28)");
  };
  const path = join(folder, "log.txt");
  await withDisk(full, () => {
    run.record("one");
    run.record("two");
    run.metrics({ step: 1 });
    assert.deepEqual(err, [
      `warning: Cannot write ${path}: No space left on device (os error 28); it is kept in memory`,
    ]);
    assert.throws(
      () => run.written(),
      new Error(`Cannot write ${path}: No space left on device (os error 28)`),
    );
  });
  run.record("three");
  assert.equal(await Deno.readTextFile(path), "one\ntwo\nthree\n");
  assert.equal(await Deno.readTextFile(join(folder, "metrics.jsonl")), '{"step":1}\n');
  await withDisk(full, () => run.record("four"));
  assert.equal(err.length, 2); // it was well in between
  assert.equal(run.written().log, "one\ntwo\nthree\nfour\n".length);
  run.close();
});

folderTest("RunFolder writes lines that the disk takes in parts", async (folder) => {
  const run = new RunFolder(folder);
  await withDisk((file, bytes) => file.writeSync(bytes.subarray(0, 3)), () => {
    run.record("a long line");
    run.record("ж");
  });
  assert.equal(await Deno.readTextFile(join(folder, "log.txt")), "a long line\nж\n");
  run.close();
});

/** Makes the checkpoint of a run, as old as this. */
async function makeRun(path: string, seconds: number, last = "last"): Promise<void> {
  await Deno.mkdir(join(path, last), { recursive: true });
  const file = join(path, last, "trainer.json");
  await Deno.writeTextFile(file, "{}");
  await Deno.utime(file, seconds, seconds);
}

folderTest("findRun() finds the run whose checkpoint is the newest", async (folder) => {
  await makeRun(join(folder, "vit_a", "0901"), 3000);
  await makeRun(join(folder, "vit_b", "0301"), 5000);
  await makeRun(join(folder, "vit_a", "0902"), 4000);
  await Deno.mkdir(join(folder, "vit_a", "0903")); // has none
  await Deno.writeTextFile(join(folder, "notes.txt"), "no folder");
  assert.equal(findRun(folder, ""), join(folder, "vit_b", "0301"));
  await makeRun(join(folder, "vit_a", "0904"), 6000, "last.old"); // killed while it saved
  assert.equal(findRun(folder, ""), join(folder, "vit_a", "0904"));
  await Deno.mkdir(join(folder, "here"));
  await Deno.symlink(join(folder, "vit_b"), join(folder, "here", "vit_b")); // as on another disk
  assert.equal(findRun(join(folder, "here"), ""), join(folder, "here", "vit_b", "0301"));
});

folderTest("findRun() takes a run, or its checkpoint, by path", async (folder) => {
  const run = join(folder, "run");
  await makeRun(run, 1);
  assert.equal(findRun("elsewhere", run), run);
  assert.equal(findRun("elsewhere", join(run, "last")), run);
  await Deno.rename(join(run, "last"), join(run, "last.old"));
  assert.equal(findRun("elsewhere", run), run);
  assert.equal(findRun("elsewhere", join(run, "last.old")), run);
  await makeRun(run, 2);
  const old = join(run, "last.old/");
  assert.throws(
    () => findRun("elsewhere", old),
    new Error(
      `Cannot resume ${old}: ${join(run, "last")} is newer and would be taken, ` +
        `move it away to go on from ${old}`,
    ),
  );
});

folderTest("RunFolder names a file that it cannot open, and closes the other", async (folder) => {
  await Deno.mkdir(join(folder, "metrics.jsonl"));
  const path = join(folder, "metrics.jsonl");
  assert.throws(
    () => new RunFolder(folder),
    (error: Error) => error.message.startsWith(`Cannot write ${path}: `),
  );
});

folderTest("findRun() names the run of another checkpoint", async (folder) => {
  const run = join(folder, "run");
  await makeRun(run, 1);
  for (const name of ["best_overall", "final/"]) {
    const path = join(run, name);
    await Deno.mkdir(path);
    assert.throws(
      () => findRun("elsewhere", path),
      new Error(`Cannot resume ${path}: there is no checkpoint "last" in it, give ${run}`),
    );
  }
});

folderTest("findRun() says where there is none", async (folder) => {
  await Deno.mkdir(join(folder, "vit", "0901"), { recursive: true });
  const none = join(folder, "none");
  for (const path of [join(folder, "vit", "0901"), none]) {
    assert.throws(
      () => findRun(folder, path),
      new Error(`Cannot resume ${path}: there is no checkpoint "last" in it`),
    );
  }
  for (const path of [folder, none]) {
    assert.throws(
      () => findRun(path, ""),
      new Error(`Cannot resume: no run under ${path} has a checkpoint "last"`),
    );
  }
});
