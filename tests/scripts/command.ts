import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

/** What became of a command. */
export interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
}

/** Runs `scripts/NAME.ts` in a process of its own. */
export async function runCommand(
  name: string,
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<Outcome> {
  const kinds = ["read", "write", "env", "ffi", ...(name === "doctor" ? ["sys"] : [])];
  const permissions = kinds.map((kind) => `--allow-${kind}`);
  const script = join(ROOT, "scripts", `${name}.ts`);
  return await outcomeOf({ args: ["run", "--quiet", ...permissions, script, ...args], env });
}

/** Runs a command as a user does, with the permissions of its task. */
export async function runTask(
  name: string,
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<Outcome> {
  return await outcomeOf({ args: ["task", "--quiet", name, ...args], cwd: ROOT, env });
}

async function outcomeOf(options: Deno.CommandOptions): Promise<Outcome> {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), options).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}
