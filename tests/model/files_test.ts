import assert from "node:assert/strict";
import { join, relative } from "node:path";
import {
  exists,
  recoverFolder,
  revertFolder,
  withRoomOf,
  writeFileAtomic,
  writeFolderAtomic,
} from "../../model/files.ts";

/** Registers a test with an empty folder of its own. */
function folderTest(name: string, fn: (folder: string) => Promise<void>): void {
  Deno.test(name, async () => {
    const folder = await Deno.makeTempDir();
    try {
      await fn(folder);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}

/** Names and texts of all files under a folder. */
async function contents(folder: string): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    const path = join(folder, name);
    if (!isDirectory) found[name] = await Deno.readTextFile(path);
    else {
      found[`${name}/`] = "";
      for (const [inner, text] of Object.entries(await contents(path))) {
        found[`${name}/${inner}`] = text;
      }
    }
  }
  return found;
}

async function makeFolder(path: string, content: string): Promise<void> {
  await Deno.mkdir(path);
  await Deno.writeTextFile(join(path, "a"), content);
}

/**
 * What is written, synced and renamed while `fn` runs, in order, on a disk that takes 3 bytes a
 * write.
 */
async function callsOf(folder: string, fn: () => Promise<void>): Promise<string[]> {
  const calls: string[] = [];
  const name = (path: string | URL) =>
    relative(folder, `${path}`).replace(/\.[0-9a-f]{8}\.tmp$/, ".tmp") || ".";
  const paths = new WeakMap<Deno.FsFile, string>();
  const { open, rename, FsFile: { prototype } } = Deno;
  const { write, sync } = prototype;
  Deno.open = async (path, options) => {
    const file = await open(path, options);
    paths.set(file, name(path));
    return file;
  };
  Deno.rename = (from, to) => {
    calls.push(`rename ${name(from)} ${name(to)}`);
    return rename(from, to);
  };
  prototype.write = function (bytes) {
    calls.push(`write ${paths.get(this)}`);
    return write.call(this, bytes.subarray(0, 3));
  };
  prototype.sync = function () {
    calls.push(`sync ${paths.get(this)}`);
    return sync.call(this);
  };
  try {
    await fn();
  } finally {
    Object.assign(Deno, { open, rename });
    Object.assign(prototype, { write, sync });
  }
  return calls;
}

folderTest("writeFileAtomic() replaces a file and leaves nothing else", async (folder) => {
  const path = join(folder, "f");
  await writeFileAtomic(path, "é");
  await writeFileAtomic(path, Uint8Array.of(0x6F, 0x6B));
  assert.deepEqual(await contents(folder), { f: "ok" });
});

folderTest(
  "writeFileAtomic() syncs a whole file, renames it, and syncs the folder",
  async (folder) => {
    const calls = await callsOf(folder, () => writeFileAtomic(join(folder, "f"), "four"));
    assert.deepEqual(calls, [
      ...["write f.tmp", "write f.tmp", "sync f.tmp"],
      ...["rename f.tmp f", "sync ."],
    ]);
    assert.deepEqual(await contents(folder), { f: "four" });
  },
);

folderTest(
  "writeFileAtomic() does without a sync of folders where there is none",
  async (folder) => {
    const { sync } = Deno.FsFile.prototype;
    const failWith = (code: string) => {
      Deno.FsFile.prototype.sync = async function () {
        if (!(await this.stat()).isDirectory) return sync.call(this);
        throw Object.assign(new Error(`sync says ${code}`), { code });
      };
    };
    try {
      failWith("EINVAL");
      await writeFileAtomic(join(folder, "f"), "new");
      assert.deepEqual(await contents(folder), { f: "new" });
      failWith("EIO");
      await assert.rejects(writeFileAtomic(join(folder, "f"), "newer"), /sync says EIO/);
    } finally {
      Deno.FsFile.prototype.sync = sync;
    }
  },
);

folderTest("writeFileAtomic() leaves the old file and no other when it fails", async (folder) => {
  const path = join(folder, "f");
  await makeFolder(path, "old"); // a file cannot replace a folder
  await assert.rejects(writeFileAtomic(path, "new"), (error: Error) => {
    return error.message.startsWith(`Cannot write ${path}: `);
  });
  assert.deepEqual(await contents(folder), { "f/": "", "f/a": "old" });
});

folderTest(
  "writeFileAtomic() removes what a killed process left, and nothing else",
  async (folder) => {
    const old = new Date(Date.now() - 2 * 3_600_000);
    for (
      const name of ["f.0a0a0a0a.tmp", "g.0a0a0a0a.tmp", "f.1b1b1b1b.tmp", "f.txt", "f.mine.tmp"]
    ) {
      await Deno.writeTextFile(join(folder, name), name);
      if (name !== "f.1b1b1b1b.tmp") await Deno.utime(join(folder, name), old, old);
    }
    await makeFolder(join(folder, "f.2c2c2c2c.tmp"), "no file");
    await Deno.utime(join(folder, "f.2c2c2c2c.tmp"), old, old);
    await writeFileAtomic(join(folder, "f"), "new");
    assert.deepEqual(
      Object.keys(await contents(folder)).sort(),
      [
        ...["f", "f.1b1b1b1b.tmp", "f.2c2c2c2c.tmp/", "f.2c2c2c2c.tmp/a"],
        ...["f.mine.tmp", "f.txt", "g.0a0a0a0a.tmp"],
      ],
    );
  },
);

folderTest("writeFileAtomic() names a folder that is missing", async (folder) => {
  await Deno.writeTextFile(join(folder, "file"), "");
  for (const parent of [join(folder, "no"), join(folder, "file", "no")]) {
    const path = join(parent, "f");
    await assert.rejects(writeFileAtomic(path, ""), {
      name: "NotFound",
      message: `Cannot write ${path}: there is no folder ${parent}`,
    });
  }
});

folderTest("writeFileAtomic() keeps one of two files written at the same time", async (folder) => {
  const path = join(folder, "f");
  const texts = ["a", "b"].map((letter) => letter.repeat(100_000));
  await Promise.all(texts.map((text) => writeFileAtomic(path, text)));
  const { f, ...others } = await contents(folder);
  assert.ok(texts.includes(f!));
  assert.deepEqual(others, {});
});

folderTest("writeFolderAtomic() replaces a folder with all its files", async (folder) => {
  const path = join(folder, "last");
  await writeFolderAtomic(path, new Map([["a", "1"], ["b", "2"]]));
  await writeFolderAtomic(path, new Map<string, string | Uint8Array>([["a", Uint8Array.of(0x33)]]));
  assert.deepEqual(await contents(folder), { "last/": "", "last/a": "3" });
});

folderTest(
  "writeFolderAtomic() syncs all that is new before a rename, and the last",
  async (folder) => {
    const path = join(folder, "last");
    await makeFolder(path, "old");
    const files = new Map([["a", "four"], ["b", "1"]]);
    const calls = await callsOf(folder, () => writeFolderAtomic(path, files));
    assert.deepEqual(calls, [
      ...["write last.new/a", "write last.new/a", "sync last.new/a"],
      ...["write last.new/b", "sync last.new/b", "sync last.new"],
      ...["rename last last.old", "rename last.new last", "sync ."],
    ]);
    assert.deepEqual(await contents(folder), { "last/": "", "last/a": "four", "last/b": "1" });
  },
);

folderTest("writeFolderAtomic() has replaced a folder that cannot be removed", async (folder) => {
  const path = join(folder, "last");
  await makeFolder(path, "old");
  const { remove } = Deno;
  Deno.remove = async (name, options) => {
    if (`${name}`.endsWith(".old") && await exists(`${name}`)) throw new Error("not permitted");
    return await remove(name, options);
  };
  try {
    await writeFolderAtomic(path, new Map([["a", "new"]]));
    await assert.rejects(writeFolderAtomic(path, new Map([["a", "2"]])), /last: not permitted$/);
  } finally {
    Deno.remove = remove;
  }
  assert.deepEqual(await contents(folder), {
    ...{ "last/": "", "last/a": "new", "last.old/": "", "last.old/a": "old" },
  });
});

folderTest("writeFolderAtomic() makes the folders above", async (folder) => {
  await writeFolderAtomic(join(folder, "run", "last"), new Map([["a", "1"]]));
  assert.deepEqual(await contents(join(folder, "run")), { "last/": "", "last/a": "1" });
});

folderTest("writeFolderAtomic() leaves the old folder when a file fails", async (folder) => {
  const path = join(folder, "last");
  await makeFolder(path, "old");
  const files = new Map([["a", "new"], ["no/such", "new"]]);
  await assert.rejects(writeFolderAtomic(path, files), (error: Error) => {
    return error.message.startsWith(`Cannot write ${path}: `);
  });
  assert.deepEqual(await contents(folder), { "last/": "", "last/a": "old" });
});

folderTest("writeFolderAtomic() keeps the old folder if it fails after a kill", async (folder) => {
  const path = join(folder, "last");
  await makeFolder(`${path}.old`, "old"); // killed between the renames
  await assert.rejects(writeFolderAtomic(path, new Map([["no/such", "new"]])));
  assert.deepEqual(await contents(folder), { "last/": "", "last/a": "old" });
});

// What kill -9 leaves at each of the steps that writeFolderAtomic() documents.
const killed: [when: string, left: Record<string, string>, recovered: Record<string, string>][] = [
  ["while writing the first", { "last.new": "half" }, {}],
  ["while writing the second", { last: "old", "last.new": "half" }, { last: "old" }],
  ["between the renames", { "last.new": "new", "last.old": "old" }, { last: "old" }],
  ["after the renames", { last: "new", "last.old": "old" }, { last: "new" }],
];
for (const [when, left, recovered] of killed) {
  folderTest(`recoverFolder() finds a whole folder after a kill ${when}`, async (folder) => {
    for (const [name, text] of Object.entries(left)) await makeFolder(join(folder, name), text);
    await recoverFolder(join(folder, "last"));
    assert.equal((await contents(folder))["last/a"], recovered["last"]);
  });

  folderTest(`writeFolderAtomic() cleans up after a kill ${when}`, async (folder) => {
    for (const [name, text] of Object.entries(left)) await makeFolder(join(folder, name), text);
    await writeFolderAtomic(join(folder, "last"), new Map([["a", "next"]]));
    assert.deepEqual(await contents(folder), { "last/": "", "last/a": "next" });
  });
}

folderTest("recoverFolder() syncs the folder that it renames in", async (folder) => {
  await makeFolder(join(folder, "last.old"), "old");
  const calls = await callsOf(folder, () => recoverFolder(join(folder, "last")));
  assert.deepEqual(calls, ["rename last.old last", "sync ."]);
});

folderTest("revertFolder() keeps the last folder that was no good", async (folder) => {
  const path = join(folder, "last");
  for (const bad of ["bad", "worse"]) {
    await makeFolder(`${path}.old`, `before ${bad}`);
    if (bad === "bad") await makeFolder(path, bad);
    else await Deno.writeTextFile(join(path, "a"), bad);
    await revertFolder(path);
    assert.deepEqual(await contents(folder), {
      ...{ "last/": "", "last/a": `before ${bad}` },
      ...{ "last.damaged/": "", "last.damaged/a": bad },
    });
  }
});

/** Work that a full disk stops `times` times, the code where writeFolderAtomic() puts it. */
function needsRoom(
  times: number,
  code = "ENOSPC",
): { work: () => Promise<void>; done: () => number } {
  let done = 0;
  const cause = Object.assign(new Error("No space left on device"), { code });
  return {
    work: () =>
      done++ < times
        ? Promise.reject(new Error("Cannot write best: No space left on device", { cause }))
        : Promise.resolve(),
    done: () => done,
  };
}

folderTest("withRoomOf() gives an old folder up for work on a full disk, once", async (folder) => {
  const path = join(folder, "last");
  await makeFolder(path, "new");
  await makeFolder(`${path}.old`, "old");
  await withRoomOf(path, needsRoom(0).work);
  await assert.rejects(
    withRoomOf(path, () => Promise.reject(new Error("Input/output error"))),
    new Error("Input/output error"),
  );
  assert.equal((await contents(folder))["last.old/a"], "old"); // there was room, or no use for it
  await withRoomOf(path, needsRoom(1).work);
  assert.deepEqual(await contents(folder), { "last/": "", "last/a": "new" });

  const { work, done } = needsRoom(1);
  await assert.rejects(withRoomOf(path, work), /^Error: Cannot write best: No space left/);
  assert.equal(done(), 1); // nothing was left to give up
});

folderTest("withRoomOf() never gives up the only whole folder", async (folder) => {
  const path = join(folder, "last");
  await makeFolder(`${path}.old`, "old"); // killed between the renames
  await assert.rejects(withRoomOf(path, needsRoom(1).work), /No space left/);
  assert.deepEqual(await contents(folder), { "last.old/": "", "last.old/a": "old" });
});

folderTest(
  "withRoomOf() gives an old folder up where a user's quota is used up",
  async (folder) => {
    const path = join(folder, "last");
    await makeFolder(path, "new");
    await makeFolder(`${path}.old`, "old");
    const { work, done } = needsRoom(1, "EDQUOT");
    await withRoomOf(path, work);
    assert.equal(done(), 2);
    assert.deepEqual(await contents(folder), { "last/": "", "last/a": "new" });
  },
);
