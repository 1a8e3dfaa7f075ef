/**
 * Builds one file of everything: a binary, or a bundle that Deno runs.
 *
 *     deno task compile
 *     deno task compile --target aarch64-apple-darwin --output geolora-mac
 *     deno task compile --bundle --output geolora.js
 *
 * The binary holds Deno, the commands, the kernels and sharp. It unpacks itself once, beside itself
 * or in the user's data folder, because sharp's native part must be a file. The bundle is for
 * machines that have Deno, which fetches sharp for it from npm.
 *
 * @module
 */
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import project from "../deno.json" with { type: "json" };
import { writeFileAtomic } from "../model/files.ts";
import { parseFlags, runScript } from "./cli.ts";

const COMMAND = { name: "compile", summary: "builds one binary, or one JavaScript file" };

/** Flags of the command. */
export const FLAGS = {
  target: {
    type: "string",
    choices: [
      "x86_64-unknown-linux-gnu",
      "aarch64-unknown-linux-gnu",
      "x86_64-apple-darwin",
      "aarch64-apple-darwin",
      "x86_64-pc-windows-msvc",
    ],
    help: "machine the binary is for; by default this one",
  },
  bundle: { type: "boolean", help: "write JavaScript for `deno run` instead of a binary" },
  output: { type: "string", unit: "file", default: "geolora", help: "file to write" },
} as const;

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const ENTRY = "scripts/geolora.ts";

/** Packages that load native code from their own folder. */
const NATIVE = ["sharp", "imagescript"] as const;

/** What the tasks of all commands may do together, of which a command keeps what it needs. */
export const PERMISSIONS: readonly string[] = permissionsOf(
  Object.values(project.tasks).filter((task) => / scripts\/(?!compile\.ts)/.test(task)),
);

/**
 * Permissions of a binary. On Windows `/` is one drive of several: there the binary may read and
 * write all of them, and keeps that.
 */
export function binaryPermissions(target: string | null): string[] {
  const isWindows = target?.includes("windows") ?? Deno.build.os === "windows";
  return PERMISSIONS.map((flag) => isWindows ? flag.replace(/=\/$/, "") : flag);
}

/** Runs the command. */
export async function main(args: string[]): Promise<void> {
  const { target, bundle, output } = parseFlags(COMMAND, FLAGS, args);
  if (bundle) await writeBundle(output);
  else await compileBinary(output, target);
  console.error(`built ${output}`);
}

/** Permissions for everything at once are left out: no command could give up a part of one. */
function permissionsOf(tasks: readonly string[]): string[] {
  const granted = tasks.flatMap((task) => [...task.matchAll(/--allow-(\w+)=(\S+)/g)]);
  const byName = Map.groupBy(granted, ([, name]) => name!);
  const flags = [...byName].map(([name, matches]) => {
    const values = new Set(matches.flatMap(([, , values]) => values!.split(",")));
    return `--allow-${name}=${[...values].join(",")}`;
  });
  return ["--no-prompt", ...flags];
}

async function compileBinary(output: string, target: string | null): Promise<void> {
  await runDeno([
    "compile",
    "--quiet",
    "--no-check",
    "--self-extracting",
    "--exclude-unused-npm", // or the binary would hold Dawn, 150 MB that no command loads by itself
    ...binaryPermissions(target),
    "--include=data/decode_worker.ts",
    ...(target === null ? [] : [`--target=${target}`]),
    `--output=${resolve(output)}`,
    ENTRY,
  ]);
}

async function writeBundle(output: string): Promise<void> {
  const external = NATIVE.map((name) => `--external=${name}`);
  let code = await runDeno(["bundle", "--quiet", ENTRY, ...external]);
  for (const name of NATIVE) {
    // Without deno.json beside it the bundle must say itself which version it means.
    const call = `import("${name}")`;
    if (!code.includes(call)) throw new Error(`Cannot bundle: ${call} is not in it`);
    code = code.replaceAll(call, `import("${project.imports[name]}")`);
  }
  await writeFileAtomic(output, code);
}

/** Runs Deno and returns what it printed. */
async function runDeno(args: string[]): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command("deno", {
    args,
    cwd: ROOT,
    env: { NO_COLOR: "1" },
    stdout: "piped",
    stderr: "piped",
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  if (success) return text(stdout);
  throw new Error(`Cannot ${args[0]}: ${reasonOf(text(stderr))}`);
}

/** The line of Deno's report that says what is wrong. */
export function reasonOf(report: string): string {
  const [, stub] = /\((https:\S+\/denort-\S+\.zip)\)/.exec(report) ?? [];
  if (stub !== undefined) {
    return `${stub} cannot be fetched; unpack it here by other means and set DENORT_BIN to it, ` +
      "or use --bundle";
  }
  return /^error: (.+)/m.exec(report)?.[1] ?? report.trim();
}

if (import.meta.main) await runScript(main);
