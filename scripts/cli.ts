/**
 * What every command shares: flags with defaults and units, `--help`, one line for an error.
 *
 * @module
 */
import { basename } from "node:path";
import { parseArgs, type ParseArgsOptionDescriptor } from "node:util";
import { nearestName } from "./nearest.ts";
import { say } from "./progress.ts";

/** What a command's name is typed after. */
export const PROGRAM: string = Deno.build.standalone ? basename(Deno.execPath()) : "deno task";

/** A command line that cannot be understood: exit code 2. */
export class UsageError extends Error {
  override name = "UsageError";
}

/** A flag of a command. `strings` may be given more than once. */
export type FlagSpec =
  & { help: string; unit?: string; required?: boolean }
  & (
    | {
      type: "string";
      default?: string;
      choices?: readonly string[];
      /** Value of the flag where it is given without one. */
      bare?: string;
    }
    | { type: "strings" }
    | { type: "number" | "integer"; default?: number; min?: number; max?: number }
    | { type: "boolean"; default?: boolean }
  );

/** Type of the value of a flag: of a string's, its choices where it has some. */
export type FlagValue<S extends FlagSpec> = S extends { type: "boolean" } ? boolean
  : S extends { type: "strings" } ? string[]
  : S extends { type: "string" } ?
      | (S extends { choices: readonly (infer Choice)[] } ? Choice : string)
      | (S extends { default: string } | { required: true } ? never : null)
  : S extends { default: number } | { required: true } ? number
  : number | null;

/** Values of all flags of a command. */
export type FlagValues<T extends Record<string, FlagSpec>> = { [K in keyof T]: FlagValue<T[K]> };

/** What a command is called and does, for `--help`. */
export interface Command {
  name: string;
  summary: string;
}

/** Thrown by {@linkcode parseFlags} for `--help`: not an error, the text goes to stdout. */
export class HelpRequest extends Error {}

/**
 * Parses the arguments of a command.
 *
 * @returns A value for each flag: its default, or null, where it is not given.
 * @throws {UsageError} If a flag is unknown, misses its value, or is out of range.
 * @throws {HelpRequest} If `--help` or `-h` is given.
 */
export function parseFlags<const T extends Record<string, FlagSpec>>(
  command: Command,
  specs: T,
  args: string[],
): FlagValues<T> {
  const options: Record<string, ParseArgsOptionDescriptor> = {
    help: { type: "boolean", short: "h" },
  };
  for (const [name, { type }] of Object.entries(specs)) {
    options[name] = type === "boolean"
      ? { type: "boolean" }
      : { type: "string", multiple: type === "strings" };
  }
  let given: Record<string, unknown>;
  try {
    given = parseArgs({ args: fillBare(args, specs), options, allowPositionals: false }).values;
  } catch (cause) {
    const reason = reasonOf((cause as Error).message, args, specs);
    const message = oneLine(`Cannot run ${command.name}: ${reason}`);
    throw new UsageError(`${message}, see --help`, { cause });
  }
  if (given.help === true) throw new HelpRequest(helpText(command, specs));
  const values: Record<string, unknown> = {};
  for (const [name, spec] of Object.entries(specs)) {
    values[name] = flagValue(command, name, spec, given[name]);
  }
  return values as FlagValues<T>;
}

/**
 * Refuses flags that would change nothing.
 *
 * @param because Why they would not, as `belongs to --check`.
 * @throws {UsageError} If one of `specs` has another value than its default.
 */
export function refuseUnused(
  command: string,
  flags: Readonly<Record<string, unknown>>,
  specs: Record<string, FlagSpec>,
  because: string,
): void {
  const defaults = parseFlags({ name: command, summary: "" }, specs, []);
  for (const [name, fallback] of Object.entries(defaults)) {
    if (flags[name] === fallback) continue;
    throw new UsageError(`Cannot run ${command}: --${name} ${because}`);
  }
}

/** What `parseArgs` says, and what may be meant; its advice is for other commands. */
function reasonOf(message: string, args: string[], specs: Record<string, FlagSpec>): string {
  const [, flag] = /'(--\S+)' argument is ambiguous/.exec(message) ?? [];
  if (flag !== undefined) return `${flag} needs a value (a negative one as ${flag}=-1)`;
  const reason = message.split(/\. (?:To|This) /)[0]!;
  const [, unknown] = /^Unknown option '--(.+)'$/s.exec(reason) ?? [];
  const meant = unknown === undefined
    ? null
    : nearestName(unknown, [...Object.keys(specs), "help"]);
  if (meant !== null) return `${reason} (did you mean --${meant}?)`;
  const [, extra] = /^Unexpected argument '(.+)'$/s.exec(reason) ?? [];
  const before = extra === undefined ? undefined : flagBefore(extra, args);
  const spec = before === undefined ? undefined : specs[before];
  return spec?.type === "strings" ? `${reason}: --${before} takes one value, ${spec.help}` : reason;
}

/** The flag after which a word stands. */
function flagBefore(word: string, args: string[]): string | undefined {
  const flag = args.slice(0, Math.max(0, args.indexOf(word))).findLast((arg) => /^--./.test(arg));
  return flag?.slice(2).split("=")[0];
}

/** Gives a flag that may stand alone the value that this means. */
function fillBare(args: string[], specs: Record<string, FlagSpec>): string[] {
  return args.map((arg, i) => {
    const spec = arg.startsWith("--") ? specs[arg.slice(2)] : undefined;
    if (spec?.type !== "string" || spec.bare === undefined) return arg;
    const next = args[i + 1];
    return next === undefined || next.startsWith("--") ? `${arg}=${spec.bare}` : arg;
  });
}

function flagValue(command: Command, name: string, spec: FlagSpec, given: unknown): unknown {
  const refuse = (wanted: string) =>
    new UsageError(
      oneLine(`Cannot run ${command.name}: --${name} must be ${wanted}: got "${given}"`),
    );
  if (given === undefined) {
    if (spec.required) {
      throw new UsageError(`Cannot run ${command.name}: --${name} is missing, see --help`);
    }
    if (spec.type === "boolean") return spec.default ?? false;
    if (spec.type === "strings") return [];
    return spec.default ?? null;
  }
  if (spec.type === "string") {
    if (spec.choices && !spec.choices.includes(given as string)) {
      throw refuse(`one of ${spec.choices.join(", ")}`);
    }
    return given;
  }
  if (spec.type === "number" || spec.type === "integer") {
    const { min = -Infinity, max = Infinity } = spec;
    const text = given as string;
    const value = Number(text);
    const whole = spec.type === "integer";
    if (
      text.trim() === "" || !Number.isFinite(value) || (whole && !Number.isSafeInteger(value)) ||
      !(value >= min && value <= max)
    ) {
      const range = [
        ...(min === -Infinity ? [] : [` >= ${min}`]),
        ...(max === Infinity ? [] : [` <= ${max}`]),
      ].join(" and");
      throw refuse(`${whole ? "an integer" : "a number"}${range}`);
    }
    return value;
  }
  return given;
}

function helpText({ name, summary }: Command, specs: Record<string, FlagSpec>): string {
  const rows = Object.entries(specs).map(([flag, spec]) => {
    const unit = (spec.unit ?? spec.type).toUpperCase();
    const isOptional = "bare" in spec && spec.bare !== undefined;
    const value = spec.type === "boolean" ? "" : isOptional ? ` [${unit}]` : ` ${unit}`;
    const fallback = "default" in spec && spec.default !== undefined && spec.default !== false
      ? ` (default ${spec.default})`
      : spec.required
      ? " (required)"
      : "";
    const choices = "choices" in spec && spec.choices ? `: ${spec.choices.join(", ")}` : "";
    return [`  --${flag}${value}`, `${spec.help}${choices}${fallback}`] as const;
  });
  const width = Math.max(...rows.map(([left]) => left.length)) + 2;
  const lines = rows.map(([left, right]) => left.padEnd(width) + right);
  return `${name}: ${summary}\n\n${lines.join("\n")}\n  -h, --help`;
}

/** Ends a command early with an exit code of its own, after it has said why. */
export class Exit extends Error {
  constructor(readonly code: number, message = "") {
    super(message);
  }
}

/**
 * Runs a command: an error is one line on stderr, exit code 1, or 2 for a bad command line.
 *
 * `DEBUG=1` in the environment adds the stack trace.
 */
export async function runScript(
  main: (args: string[]) => Promise<void>,
  args: string[] = Deno.args,
): Promise<void> {
  try {
    await main(args);
  } catch (error) {
    if (error instanceof HelpRequest) return console.log(error.message);
    const message = error instanceof Error ? error.message : String(error);
    if (message !== "") say("stderr", oneLine(`error: ${message}`));
    if (debugging() && error instanceof Error) say("stderr", error.stack ?? "");
    Deno.exit(error instanceof Exit ? error.code : error instanceof UsageError ? 2 : 1);
  }
}

/** A message without what a terminal would obey, and not endless. */
function oneLine(message: string): string {
  const line = message.replaceAll(/\s*\p{Cc}[\s\p{Cc}]*/gu, " ").replace(
    /Requires all access to ("[^"]*"), run again with the --allow-all flag/,
    "Deno opens $1, as all below /dev, /proc and /sys, only to programs with all permissions: " +
      "take another folder, or deno run -A scripts/….ts",
  );
  return line.length > 1000 ? `${line.slice(0, 900)}...` : line;
}

function debugging(): boolean {
  const { state } = Deno.permissions.querySync({ name: "env", variable: "DEBUG" });
  return state === "granted" && Deno.env.get("DEBUG") === "1";
}
