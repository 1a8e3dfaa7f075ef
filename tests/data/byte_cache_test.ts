import assert from "node:assert/strict";
import { join } from "node:path";
import { ByteCache } from "../../data/byte_cache.ts";

Deno.test("ByteCache.read() holds the most recently used files up to its limit", async () => {
  const root = await Deno.makeTempDir();
  const path = (name: string) => join(root, name);
  try {
    for (const name of ["a", "b", "c"]) await Deno.writeFile(path(name), new Uint8Array(40));
    await Deno.writeFile(path("large"), new Uint8Array(101));
    const cache = new ByteCache(100);
    const a = await cache.read(path("a"));
    const b = await cache.read(path("b"));
    assert.equal(cache.held, 80);
    assert.equal(await cache.read(path("a")), a); // the same object: not read again
    await cache.read(path("c")); // b was used least recently
    assert.equal(cache.held, 80);
    assert.equal(await cache.read(path("a")), a);
    assert.notEqual(await cache.read(path("b")), b);

    assert.equal((await cache.read(path("large"))).length, 101);
    assert.equal(cache.held, 80);
    await assert.rejects(cache.read(path("none")), /no such file/);
    assert.equal(cache.held, 80);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
});
