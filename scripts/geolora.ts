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
import { HelpRequest, runScript, UsageError } from "./cli.ts";

/** A command's module; it is loaded when the command runs. */
type Load = () => Promise<{ main(args: string[]): Promise<void> }>;

const COMMANDS: ReadonlyMap<string, Load> = new Map<string, Load>([
  ["merge", () => import("./merge.ts")],
  ["train", () => import("./train.ts")],
  ["eval", () => import("./eval.ts")],
  ["embed", () => import("./embed.ts")],
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
    const { main } = await load();
    lines.push(`  ${name.padEnd(9)}${await summaryOf(main)}`);
  }
  return `geolora COMMAND --flags\n\n${lines.join("\n")}\n\n` +
    "  COMMAND --help lists its flags; geolora --version";
}

/** The first line of a command's own help is its name and what it does. */
async function summaryOf(main: (args: string[]) => Promise<void>): Promise<string> {
  const help = await main(["--help"]).catch((error) => error);
  if (!(help instanceof HelpRequest)) throw help;
  return help.message.split("\n")[0]!.replace(/^\S+: /, "");
}

// The decode workers of a bundle load this module too.
if (import.meta.main && !isWorkerScope()) await runScript(main);
