/**
 * All commands as one program: the entry point of the bundle and of the binary.
 *
 *     geolora COMMAND --flags
 *     geolora --help
 *
 * @module
 */
import { isWorkerScope } from "../data/decode_worker.ts";
import project from "../deno.json" with { type: "json" };
import { type Command, HelpRequest, runScript, UsageError } from "./cli.ts";

/** A command's module; it is loaded when the command runs. */
type Load = () => Promise<{ COMMAND: Command; main(args: string[]): Promise<void> }>;

const COMMANDS: ReadonlyMap<string, Load> = new Map<string, Load>([
  ["merge", () => import("./merge.ts")],
  ["train", () => import("./train.ts")],
  ["eval", () => import("./eval.ts")],
  ["embed", () => import("./embed.ts")],
  ["locate", () => import("./locate.ts")],
  ["export", () => import("./export.ts")],
  ["weights", () => import("./weights.ts")],
  ["doctor", () => import("./doctor.ts")],
  ["demo", () => import("./demo.ts")],
]);

/**
 * Runs a command.
 *
 * @param args Its name and its flags, or `--help`, `-h` or `help`, or `--version`.
 * @throws {UsageError} If there is no such command.
 */
export async function main([name, ...args]: string[]): Promise<void> {
  if (name === "--version") return console.log(`geolora ${project.version}`);
  if (["--help", "-h", "help"].includes(name ?? "")) throw new HelpRequest(await helpText());
  const load = COMMANDS.get(name ?? "");
  if (!load) {
    const found = name === undefined ? "no command is given" : `there is no command "${name}"`;
    throw new UsageError(
      `Cannot run geolora: ${found}, expected one of ${[...COMMANDS.keys()].join(", ")}`,
    );
  }
  const command = await load();
  await command.main(args);
}

async function helpText(): Promise<string> {
  const lines: string[] = [];
  for (const [name, load] of COMMANDS) {
    lines.push(`  ${name.padEnd(9)}${(await load()).COMMAND.summary}`);
  }
  return `geolora COMMAND --flags\n\n${lines.join("\n")}\n\n` +
    "  COMMAND --help lists its flags; geolora --version";
}

// The decode workers of a bundle load this module too.
if (import.meta.main && !isWorkerScope()) await runScript(main);
