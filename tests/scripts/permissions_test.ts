import assert from "node:assert/strict";
import { join } from "node:path";
import { hubCache } from "../../model/hub.ts";
import { modelFiles, rootsOf } from "../../scripts/permissions.ts";

Deno.test({
  name: "keepOnly() and keepReading() give nothing up under -A, which /dev/shm needs",
  ignore: Deno.build.os !== "linux",
  fn: async () => {
    const module = new URL("../../scripts/permissions.ts", import.meta.url);
    const code = `
      import { keepOnly, keepReading } from "${module}";
      await keepOnly({ write: [] });
      keepReading([]);
      console.log(Deno.statSync("/dev/shm").isDirectory);
    `;
    const options = { args: ["eval", code], env: { NO_COLOR: "1" } };
    const { stdout, stderr } = await new Deno.Command(Deno.execPath(), options).output();
    assert.equal(new TextDecoder().decode(stdout), "true\n", new TextDecoder().decode(stderr));
  },
});

/** What `code` prints in a process with these permissions, after `import`s of the module. */
async function printed(permissions: readonly string[], code: string): Promise<unknown> {
  const folder = await Deno.makeTempDir();
  try {
    const module = new URL("../../scripts/permissions.ts", import.meta.url);
    const script = join(folder, "script.ts");
    const head = `import { keepOnly, keepReading } from "${module}";
      const can = (name, path) => Deno.permissions.querySync({ name, path }).state === "granted";\n`;
    await Deno.writeTextFile(script, head + code);
    const args = ["run", "--quiet", "--no-prompt", "--no-check", ...permissions, script];
    const { stdout, stderr } = await new Deno.Command(Deno.execPath(), { args }).output();
    assert.equal(new TextDecoder().decode(stderr), "");
    return JSON.parse(new TextDecoder().decode(stdout));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const DISK = ["--allow-read=/", "--allow-write=/", "--allow-ffi=/", "--allow-env"];

Deno.test({
  name: "keepOnly() gives up all but its folders, whatever else was granted",
  ignore: Deno.build.os === "windows",
  fn: async () => {
    const state = `
      const names = ["run", "sys", "net"].filter((name) => can(name));
      const paths = ["/runs", "/data", "/other"];
      const [read, write] = ["read", "write"].map((name) => paths.filter((path) => can(name, path)));
      console.log(JSON.stringify({ names, read, write }));`;
    const all = [...DISK, "--allow-run", "--allow-sys", "--allow-net"];
    const code = (net: boolean) =>
      `await keepOnly({ write: ["/runs"], net: ${net} }); keepReading(["/data"]); ${state}`;
    const wanted = { read: ["/runs", "/data"], write: ["/runs"] };
    assert.deepEqual(await printed(all, code(false)), { names: [], ...wanted });
    assert.deepEqual(await printed(all, code(true)), { names: ["net"], ...wanted });
  },
});

Deno.test({
  name: "keepReading() leaves the whole disk where pictures may lie anywhere",
  ignore: Deno.build.os === "windows",
  fn: async () => {
    const code = `keepReading(["/"]); console.log(can("read", "/data"));`;
    assert.equal(await printed(DISK, code), true);
  },
});

Deno.test("modelFiles() are the folder of the adapter's, for its .old, and the weights or the cache", () => {
  const [adapter, weights] = [join("runs", "1", "last"), "w.safetensors"];
  assert.deepEqual(modelFiles({ adapter, weights }), [join("runs", "1"), weights]);
  assert.deepEqual(modelFiles({ adapter: null, weights: null }), [null, hubCache()]);
});

Deno.test("keepOnly() takes fewer than all permissions for less than -A", async () => {
  const most = ["--allow-read", "--allow-write", "--allow-ffi", "--allow-env", "--allow-run"];
  const code = `await keepOnly({ write: [] }); console.log(can("run"));`;
  assert.equal(await printed(most, code), false);
});

Deno.test("rootsOf() are the data roots, or the disk where pictures may lie outside of them", () => {
  const pictures = ["/a", "/b", "/a"].map((root) => ({ root, folder: "", name: "x.png" }));
  assert.deepEqual([...rootsOf(pictures, false)], ["/a", "/b"]);
  assert.deepEqual([...rootsOf(pictures, true)], ["/"]);
});
