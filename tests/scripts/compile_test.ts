/** The bundle is what the binary holds: here it does a whole job far from the sources. */
import assert from "node:assert/strict";
import { join } from "node:path";
import project from "../../deno.json" with { type: "json" };
import { binaryPermissions, main, PERMISSIONS, reasonOf } from "../../scripts/compile.ts";
import { GPU_OFF } from "../testing.ts";
import { tinyFlags, writeTinyWorld } from "./tiny_world.ts";

Deno.test("reasonOf() says in a line that the runtime cannot be fetched, and what else to do", () => {
  const url = "https://dl.deno.land/release/v2.9.6/denort-aarch64-apple-darwin.zip";
  const report = "error: Writing deno compile executable to temporary file 'x'\n\nCaused by:\n" +
    `    0: Setting up base binary.\n    1: error sending request for url (${url}): dns error\n`;
  assert.equal(
    reasonOf(report),
    `${url} cannot be fetched; unpack it here by other means and set DENORT_BIN to it, or use --bundle`,
  );
});

Deno.test("reasonOf() gives Deno's own error otherwise", () => {
  assert.equal(reasonOf("Check x.ts\nerror: It is wrong\n    at x.ts\n"), "It is wrong");
  assert.equal(reasonOf("strange\n"), "strange");
});

Deno.test("PERMISSIONS are those of the tasks together, none of which is for everything", () => {
  const { merge, train, weights, doctor } = project.tasks;
  const granted = (name: string): string[] => {
    const prefix = `--allow-${name}=`;
    const flag = PERMISSIONS.find((each) => each.startsWith(prefix));
    return flag?.slice(prefix.length).split(",") ?? [];
  };
  for (const name of ["read", "write", "ffi"]) assert.deepEqual(granted(name), ["/"]);
  for (const task of [merge, train, weights, doctor]) {
    for (const [, name, values] of task.matchAll(/--allow-(\w+)=(\S+)/g)) {
      for (const value of values!.split(",")) assert(granted(name!).includes(value), value);
    }
  }
  assert.deepEqual(granted("run"), []);
  for (const each of PERMISSIONS) assert.match(each, /^--(no-prompt|allow-\w+=\S+)$/);
});

Deno.test("binaryPermissions() are wider on Windows, where / is one drive", () => {
  assert.deepEqual(binaryPermissions("aarch64-apple-darwin"), PERMISSIONS);
  const windows = binaryPermissions("x86_64-pc-windows-msvc");
  for (const name of ["read", "write", "ffi"]) assert(windows.includes(`--allow-${name}`), name);
  const changed = windows.filter((flag) => !PERMISSIONS.includes(flag));
  assert.equal(changed.length, 3);
});

/** Runs the bundle in a folder, with what the binary may do. */
async function run(bundle: string, cwd: string, args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", ...PERMISSIONS, bundle, ...args],
    cwd,
    env: { NO_COLOR: "1" },
  }).output();
  const [out, error] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  assert.equal(code, 0, `${args}: ${out}${error}`);
  return out! + error!;
}

Deno.test({
  name: "the bundle examines, trains, evaluates and exports in an empty folder",
  ignore: GPU_OFF,
  fn: async (t) => {
    const root = await Deno.makeTempDir();
    const [built, empty, world] = [join(root, "built"), join(root, "empty"), join(root, "world")];
    for (const folder of [built, empty, world]) await Deno.mkdir(folder);
    const here = Deno.cwd();
    Deno.chdir(built); // the sources are found from anywhere
    await main(["--bundle", "--output", "geolora.js"]).finally(() => Deno.chdir(here));
    const files = await Array.fromAsync(Deno.readDir(built));
    assert.deepEqual(files.map(({ name }) => name), ["geolora.js"]);
    const geolora = (...args: string[]) => run(join(built, "geolora.js"), empty, args);

    await t.step("--version, and doctor with sharp", async () => {
      assert.equal(await geolora("--version"), `geolora ${project.version}\n`);
      assert.match(await geolora("doctor", "--seconds", "0.05"), /^OK +decoder +sharp,/m);
    });
    await writeTinyWorld(world, 4);
    await t.step("weights --random", async () => {
      await geolora("weights", "--random", "vits16", "--output", "weights.safetensors");
      assert.match(await geolora("weights", "--check", "weights.safetensors"), /21,586,944 as F32/);
    });
    await t.step("train, eval and export, with decoding threads", async () => {
      const model = ["--weights", "weights.safetensors", "--depth", "1"];
      const data = ["--test_pairs_meta_file", "pairs.json", "--data_root", world];
      const training = [...tinyFlags(world), ...model, "--epochs", "1", "--model_path", "runs"];
      const train = await geolora("train", ...training, "--num_workers", "2");
      const adapter = ["--adapter", /^finished: (.+)$/m.exec(train)![1]!];
      const evaluation = [...adapter, ...model, ...data, "--img_size", "32"];
      assert.match(await geolora("eval", ...evaluation), /^\[OVERALL\] Queries: 4, R@1: /m);
      const merging = [...adapter, ...model, "--merged", "--output", "merged.safetensors"];
      assert.match(await geolora("export", ...merging), /^merged 4 adapted layers/);
    });
    await Deno.remove(root, { recursive: true });
  },
});
