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
