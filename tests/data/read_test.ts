import assert from "node:assert/strict";
import { join } from "node:path";
import { cannotRead, readBytes, readText } from "../../data/read.ts";

Deno.test("readBytes() says which file it cannot read, and the system's error is the cause", async () => {
  await assert.rejects(readBytes("no/such.jpg"), (error: Error) => {
    assert.equal(error.message, "Cannot read no/such.jpg: no such file");
    return error.cause instanceof Deno.errors.NotFound;
  });
  const folder = import.meta.dirname!;
  await assert.rejects(readBytes(folder), (error: Error) => {
    assert.ok(error.message.startsWith(`Cannot read ${folder}: `));
    return error.message.lastIndexOf(folder) === "Cannot read ".length; // once
  });
});

Deno.test("readText() reads UTF-8 with and without a mark, and nothing else", async () => {
  const folder = await Deno.makeTempDir();
  const path = join(folder, "é.json");
  try {
    for (const text of ["ж\n", "\ufeffж\n"]) {
      await Deno.writeTextFile(path, text);
      assert.equal(await readText(path), "ж\n");
    }
    await Deno.writeFile(path, new Uint8Array([0x5b, 0xff, 0x5d]));
    await assert.rejects(readText(path), {
      name: "SyntaxError",
      message: `Cannot parse ${path}: it is not UTF-8 text`,
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("cannotRead() leaves out the path that the system repeats", () => {
  for (const call of ["stat", "open", "readfile"]) {
    const cause = new Error(`Input/output error (os error 5): ${call} 'a/b'`);
    assert.throws(() => cannotRead("a/b")(cause), {
      message: "Cannot read a/b: Input/output error (os error 5)",
    });
  }
});
