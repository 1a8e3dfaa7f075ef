import assert from "node:assert/strict";
import { type FlagSpec, HelpRequest, parseFlags } from "../../scripts/cli.ts";
import { FLAGS as compile } from "../../scripts/compile.ts";
import { FLAGS as demo } from "../../scripts/demo.ts";
import { FLAGS as doctor } from "../../scripts/doctor.ts";
import { FLAGS as embed } from "../../scripts/embed.ts";
import { FLAGS as evaluate } from "../../scripts/eval.ts";
import { FLAGS as exporting } from "../../scripts/export.ts";
import { FLAGS as merge } from "../../scripts/merge.ts";
import { TRAIN_FLAGS as train } from "../../scripts/train_flags.ts";
import { FLAGS as weights } from "../../scripts/weights.ts";
import { type Choices, fuzz, NUMBERS, TEXTS } from "./fuzz.ts";

type Specs = Record<string, FlagSpec>;
type Values = Record<string, unknown>;

const COMMANDS: Record<string, Specs> = {
  compile,
  demo,
  doctor,
  embed,
  eval: evaluate,
  export: exporting,
  merge,
  train,
  weights,
};

/** Text of a value that a flag takes, or of one that it does not. */
function valueFor(choices: Choices, spec: FlagSpec): string {
  if (choices.below(8) === 0) return choices.of(TEXTS);
  if (spec.type === "string") return spec.choices ? choices.of(spec.choices) : "data/file.json";
  if (spec.type === "number" || spec.type === "integer") {
    const near = [spec.min, spec.max, spec.default, (spec.min ?? 0) + 1].filter((n) => n != null);
    return choices.below(3) === 0 ? `${choices.of(NUMBERS)}` : `${choices.of([...near, 7])}`;
  }
  return "a=b,c";
}

function commandLine(choices: Choices, specs: Specs): string[] {
  const args: string[] = [];
  const give = (name: string) => {
    const spec = specs[name]!;
    if (spec.type === "boolean") args.push(`--${name}`);
    else if (choices.below(2) === 0) args.push(`--${name}`, valueFor(choices, spec));
    else args.push(`--${name}=${valueFor(choices, spec)}`);
  };
  const names = Object.keys(specs);
  if (choices.below(8) > 0) { for (const name of names) if (specs[name]!.required) give(name); }
  for (let i = choices.below(5); i > 0; i--) give(choices.of(names));
  if (choices.below(4) === 0) {
    const odd = [
      ...["--", "-", "-x", "-xyz", "--=", "--=1", "--no-augment", "--hel", "--HELP", "--__proto__"],
      ...["--constructor=1", "--toString", "word", "", "\0", "--a\nb", `--${"x".repeat(100_000)}`],
      ...[`--${choices.of(names)}`, `--${choices.of(names)}=`, `-${choices.of(names)}`],
    ];
    args.splice(choices.below(args.length + 1), 0, choices.of(odd));
  }
  return args;
}

/** Each value is one that its flag takes, and the values written out give the same again. */
function confirm(values: Values, specs: Specs): void {
  assert.deepEqual(Object.keys(values), Object.keys(specs));
  const args: string[] = [];
  for (const [name, spec] of Object.entries(specs)) {
    const value = values[name];
    if (value === null) {
      assert(!spec.required && !("default" in spec && spec.default !== undefined));
      continue;
    }
    switch (spec.type) {
      case "boolean":
        assert.equal(typeof value, "boolean");
        if (value) args.push(`--${name}`);
        continue;
      case "strings":
        args.push(...(value as string[]).map((text) => `--${name}=${text}`));
        continue;
      case "string":
        assert(spec.choices === undefined || spec.choices.includes(value as string));
        break;
      default:
        assert(Number.isFinite(value) && typeof value === "number");
        assert(spec.type === "number" || Number.isSafeInteger(value));
        assert(value >= (spec.min ?? -Infinity) && value <= (spec.max ?? Infinity));
    }
    args.push(`--${name}=${value}`);
  }
  assert.deepEqual(parseFlags({ name: "x", summary: "" }, specs, args), values);
}

for (const [name, specs] of Object.entries(COMMANDS)) {
  Deno.test(`parseFlags() refuses bad command lines of ${name}, or gives what the flags take`, () =>
    fuzz<Values>({
      cases: 1500,
      cap: 2 ** 20,
      make(choices) {
        const args = commandLine(choices, specs);
        return {
          input: args.map((arg) => arg.slice(0, 100)),
          run: () => parseFlags({ name, summary: "" }, specs, args),
          confirm: (values) => confirm(values, specs),
        };
      },
    }));
}

Deno.test("parseFlags() explains every flag of every command", () => {
  for (const [name, specs] of Object.entries(COMMANDS)) {
    assert.throws(() => parseFlags({ name, summary: "" }, specs, ["--help"]), (error: Error) => {
      assert(error instanceof HelpRequest);
      return Object.keys(specs).every((flag) => error.message.includes(`  --${flag}`));
    });
  }
});
