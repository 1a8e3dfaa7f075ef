/**
 * What the tasks of `deno.json` let `train` do, tried from inside of it.
 *
 * @module
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import sharp from "sharp";
import project from "../../deno.json" with { type: "json" };
import { runTask } from "../scripts/command.ts";
import { tinyFlags, writeTinyWorld } from "../scripts/tiny_world.ts";
import { GPU_OFF } from "../testing.ts";
import { faultFlags, startTraining, theRun, withWorld } from "./runs.ts";

/** Permissions that the task grants, and one to look at a variable. */
const PERMISSIONS = [
  ...project.tasks.train.split(" ").filter((word) => word.startsWith("--allow-")),
  "--allow-env=OUTSIDE",
];

const REFUSED = Object.fromEntries(
  ["write", "remove", "read", "net", "run", "ffi", "sys", "env"].map((name) => [
    name,
    "NotCapable",
  ]),
);

/** A folder that a command has nothing to do with. */
async function withOutside(fn: (env: Record<string, string>) => Promise<void>): Promise<void> {
  const outside = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(join(outside, "secret"), "");
    await fn({ OUTSIDE: outside, SECRET: "" });
  } finally {
    await Deno.remove(outside, { recursive: true });
  }
}

function attemptsIn(stderr: string): unknown {
  return JSON.parse(/^attempts: (.*)$/m.exec(stderr)?.[1] ?? "null");
}

Deno.test({
  name: "train can write below --model_path and nowhere else, and reaches no network",
  ignore: GPU_OFF,
  fn: () =>
    withWorld((folder) =>
      withOutside(async (env) => {
        const modelPath = join(folder, "runs");
        const flags = [...faultFlags(folder, modelPath), "--epochs", "1"];
        const options = { permissions: PERMISSIONS, preload: ["attempts.ts"], env };
        const { code, stderr } = await startTraining(flags, options).ended;
        assert.equal(code, 0, stderr);
        theRun(modelPath); // it could do what it had to
        assert.deepEqual(attemptsIn(stderr), REFUSED, stderr);
      })
    ),
});

Deno.test("keepOnly() leaves workers no more than sharp", () =>
  withOutside(async (env) => {
    const folder = await Deno.makeTempDir();
    const picture = sharp({ create: { width: 8, height: 8, channels: 3, background: "#446644" } });
    await picture.webp().toFile(join(folder, "picture.webp")); // only sharp reads it
    const script = fileURLToPath(new URL("restricted.ts", import.meta.url));
    const args = ["run", "--quiet", "--no-prompt", ...PERMISSIONS, script, folder];
    const output = await new Deno.Command(Deno.execPath(), { args, env }).output();
    const stderr = new TextDecoder().decode(output.stderr);
    assert.deepEqual(attemptsIn(stderr), REFUSED, stderr);
    assert.match(stderr, /^decoded: pixels,crop,picture$/m);
    await Deno.remove(folder, { recursive: true });
  }));

Deno.test({
  name: "train and export go wherever links lead: folders, files, and Hugging Face's cache",
  ignore: GPU_OFF || Deno.build.os === "windows", // where links take a right of their own
  fn: async () => {
    const folder = await Deno.makeTempDir();
    try {
      const [disk, link] = ["disk", "link"].map((name) => join(folder, name)) as [string, string];
      await Deno.mkdir(disk);
      await Deno.symlink("disk", link);
      await writeTinyWorld(disk, 6);
      const flags = ["--depth", "1", "--max_steps", "2", "--test_pairs_meta_file", "pairs.json"];
      const trained = await runTask("train", [...tinyFlags(link), ...flags]);
      assert.equal(trained.code, 0, trained.stderr);

      const adapter = join(folder, "adapter");
      await Deno.symlink(join(theRun(join(disk, "runs")), "final"), adapter);
      const model = join(disk, "hub/models--timm--vit_small_patch16_dinov3.lvd1689m");
      await Deno.mkdir(join(disk, "blobs"));
      await Deno.mkdir(join(model, "snapshots/main"), { recursive: true });
      await Deno.symlink("../../blobs", join(model, "blobs")); // moved to where there is room
      await Deno.rename(join(disk, "weights.safetensors"), join(disk, "blobs/1"));
      await Deno.symlink("../../blobs/1", join(model, "snapshots/main/model.safetensors"));
      const output = join(link, "merged.safetensors");
      const args = ["--merged", "--adapter", adapter, "--output", output];
      const exported = await runTask("export", args, { HF_HOME: link });
      assert.equal(exported.code, 0, exported.stderr);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});
