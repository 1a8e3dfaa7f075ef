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
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: ["run", "--quiet", ...permissions, join(ROOT, "scripts", `${name}.ts`), ...args],
    env,
    stdout: "piped",
    stderr: "piped",
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}
