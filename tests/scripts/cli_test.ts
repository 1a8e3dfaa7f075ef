import assert from "node:assert/strict";
import { HelpRequest, parseFlags, UsageError } from "../../scripts/cli.ts";

const COMMAND = { name: "demo", summary: "shows flags" };

const SPECS = {
  name: { type: "string", unit: "file", required: true, help: "a name" },
  note: { type: "string", help: "a note" },
  mode: { type: "string", default: "fast", choices: ["fast", "slow"], help: "how" },
  resume: { type: "string", unit: "folder", bare: "newest", help: "go on" },
  source: { type: "strings", help: "where from" },
  rate: { type: "number", default: 0.5, min: 0, max: 1, help: "how much" },
  slope: { type: "number", help: "how steep" },
  count: { type: "integer", unit: "pairs", default: 8, min: 2, help: "how many" },
  seed: { type: "integer", default: 42, min: 0, max: 2 ** 32 - 1, help: "of chance" },
  loud: { type: "boolean", help: "say more" },
  safe: { type: "boolean", default: true, help: "take care" },
} as const;

const DEFAULTS = {
  name: "x",
  note: null,
  mode: "fast",
  resume: null,
  source: [],
  rate: 0.5,
  slope: null,
  count: 8,
  seed: 42,
  loud: false,
  safe: true,
};

const parse = (...args: string[]) => parseFlags(COMMAND, SPECS, ["--name", "x", ...args]);

/** Fails unless the arguments are refused with these words after the command's. */
function assertRefused(args: string[], wanted: string): void {
  assert.throws(() => parse(...args), (error: Error) => {
    assert(error instanceof UsageError);
    assert.equal(error.message, `Cannot run demo: ${wanted}`);
    return true;
  });
}

Deno.test("parseFlags() gives every flag a value: its default, null, none of a list, or no", () => {
  assert.deepEqual(parse(), DEFAULTS);
});

Deno.test("parseFlags() reads values of each type, after a space or an equals sign", () => {
  const wanted = {
    ...DEFAULTS,
    note: "--a = b",
    mode: "slow",
    source: ["one", "two,three"],
    rate: 0.25,
    slope: -3e-4,
    count: 12,
    seed: 4294967295,
    loud: true,
  };
  const { note: _, slope: __, ...plain } = wanted;
  const args = ["--note=--a = b", "--slope=-3e-4", "--loud", "--source", "one"];
  const rest = ["--source=two,three", "--mode", "slow", "--rate", ".25", "--count=12"];
  assert.deepEqual(parse(...args, ...rest, "--seed", "4294967295"), wanted);
  const typed: { rate: number; slope: number | null; loud: boolean; source: string[] } = parse();
  assert.equal(typed.rate, plain.rate * 2);
  assert.equal(parse("--rate", "0.1", "--rate", "0.2").rate, 0.2); // the last one counts
});

Deno.test("parseFlags() takes a bare flag alone, with a value, and before another flag", () => {
  assert.equal(parse("--resume").resume, "newest");
  assert.equal(parse("--resume=runs/7").resume, "runs/7");
  assert.equal(parse("--resume", "runs/7").resume, "runs/7");
  const before = parse("--resume", "--loud", "--count", "3");
  assert.deepEqual(before, { ...DEFAULTS, resume: "newest", loud: true, count: 3 });
});

Deno.test("parseFlags() refuses flags it does not know and words that are no flags", () => {
  assertRefused(["--lerning", "1"], "Unknown option '--lerning', see --help");
  assertRefused(["-l"], "Unknown option '-l', see --help");
  assertRefused(["--no-loud"], "Unknown option '--no-loud', see --help");
  assertRefused(["--constructor"], "Unknown option '--constructor', see --help");
  assertRefused(["word. And more"], "Unexpected argument 'word. And more', see --help");
  assertRefused(["--loud", "yes"], "Unexpected argument 'yes', see --help");
  assertRefused(["--loud=yes"], "Option '--loud' does not take an argument, see --help");
});

Deno.test("parseFlags() says which flag a word may be meant for", () => {
  const cases = [["--not-e", "note"], ["--cuont", "count"], ["--slop=3", "slope"], [
    "--hlp",
    "help",
  ]];
  for (const [arg, meant] of cases) {
    const [given] = arg!.split("=");
    assertRefused([arg!], `Unknown option '${given}' (did you mean --${meant}?), see --help`);
  }
  const specs = { batch_size: SPECS.count, lr: SPECS.rate };
  const refused = (arg: string, meant: string) =>
    assert.throws(
      () => parseFlags(COMMAND, specs, [arg]),
      new UsageError(`Cannot run demo: Unknown option '${arg}'${meant}, see --help`),
    );
  for (const arg of ["--batch-size", "--batchsize", "--bacth_size", "--Batch_Size"]) {
    refused(arg, " (did you mean --batch_size?)");
  }
  for (const arg of ["--size", "--rl", `--${"batch_size".repeat(9)}`]) refused(arg, "");
});

Deno.test("parseFlags() says how a flag that may be repeated takes many values", () => {
  const wanted = "Unexpected argument 'two': --source takes one value, where from, see --help";
  assertRefused(["--source", "one", "two"], wanted);
  assertRefused(["--source=one", "two", "--loud"], wanted);
  assertRefused(["--source", "one", "--note", "x", "two"], "Unexpected argument 'two', see --help");
});

Deno.test("parseFlags() refuses a flag without its value, and says how to write a minus", () => {
  assertRefused(["--rate"], "Option '--rate <value>' argument missing, see --help");
  const wanted = "needs a value (a negative one as";
  assertRefused(["--rate", "--loud"], `--rate ${wanted} --rate=-1), see --help`);
  assertRefused(["--slope", "-3"], `--slope ${wanted} --slope=-1), see --help`);
  assert.throws(
    () => parseFlags(COMMAND, SPECS, []),
    new UsageError("Cannot run demo: --name is missing, see --help"),
  );
});

Deno.test("parseFlags() refuses numbers out of range, and what is no number", () => {
  for (const text of ["1.01", "-0.01", "NaN", "Infinity", "", " ", "1,5", "0.5m", "1e400"]) {
    assertRefused([`--rate=${text}`], `--rate must be a number >= 0 and <= 1: got "${text}"`);
  }
  for (const text of ["1", "2.5", "abc", "9007199254740993", "-4"]) {
    assertRefused([`--count=${text}`], `--count must be an integer >= 2: got "${text}"`);
  }
  assertRefused(
    ["--seed=4294967296"],
    '--seed must be an integer >= 0 and <= 4294967295: got "4294967296"',
  );
  for (const text of ["steep", "NaN", "Infinity", "-1e999", ""]) {
    assertRefused([`--slope=${text}`], `--slope must be a number: got "${text}"`);
  }
  for (const [text, value] of [["0", 0], ["1", 1], ["1e-3", 0.001]] as const) {
    assert.equal(parse("--rate", text).rate, value);
  }
});

Deno.test("parseFlags() refuses a value that is not among the choices", () => {
  assertRefused(["--mode", "medium"], '--mode must be one of fast, slow: got "medium"');
  assertRefused(["--mode="], '--mode must be one of fast, slow: got ""');
});

const HELP = `demo: shows flags

  --name FILE        a name (required)
  --note STRING      a note
  --mode STRING      how: fast, slow (default fast)
  --resume [FOLDER]  go on
  --source STRINGS   where from
  --rate NUMBER      how much (default 0.5)
  --slope NUMBER     how steep
  --count PAIRS      how many (default 8)
  --seed INTEGER     of chance (default 42)
  --loud             say more
  --safe             take care (default true)
  -h, --help`;

Deno.test("parseFlags() answers --help with every flag, its unit and its default", () => {
  for (const args of [["--help"], ["--help", "--rate", "7"], ["--name", "x", "--help"], ["-h"]]) {
    assert.throws(() => parseFlags(COMMAND, SPECS, args), (error: Error) => {
      assert(error instanceof HelpRequest);
      assert.equal(error.message, HELP);
      return true;
    });
  }
});

const CLI = new URL("../../scripts/cli.ts", import.meta.url);

/** Runs a command whose body is given, in a process of its own. */
async function run(body: string, { args = [] as string[], env = {} } = {}) {
  const code = `import { Exit, parseFlags, runScript, UsageError } from "${CLI}";
    const command = ${JSON.stringify(COMMAND)};
    await runScript(async (args) => { ${body} });
    console.log("went on");`;
  const output = await new Deno.Command(Deno.execPath(), {
    args: ["eval", code, "--", ...args],
    env: { DEBUG: "", NO_COLOR: "1", ...env },
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code: output.code, stdout: text(output.stdout), stderr: text(output.stderr) };
}

Deno.test("runScript() says an error in one line on stderr and ends with its exit code", async () => {
  const cases = [
    [
      'throw new RangeError("Cannot do it:\\n  two lines,\\n\\n three")',
      1,
      "Cannot do it: two lines, three",
    ],
    ['throw new UsageError("Cannot run demo: bad flag")', 2, "Cannot run demo: bad flag"],
    ['throw new Exit(130, "Stopped at step 7")', 130, "Stopped at step 7"],
    ['throw new Error("red \\x1b[31m and a bell \\x07")', 1, "red [31m and a bell "],
    ['throw new Error("x".repeat(2000))', 1, `${"x".repeat(893)}...`],
    ['throw "a text"', 1, "a text"],
    [
      `throw new Error('Requires all access to "/dev/a", run again with the --allow-all flag; b')`,
      1,
      'Deno opens "/dev/a", as all below /dev, /proc and /sys, only to programs with all ' +
      "permissions: take another folder, or deno run -A scripts/….ts; b",
    ],
    ["await Deno.readTextFile('/none/at/all')", 1, /^error: No such file .*\/none\/at\/all'\n$/],
  ] as const;
  const outcomes = await Promise.all(cases.map(([body]) => run(body)));
  for (const [i, [body, code, wanted]] of cases.entries()) {
    const outcome = outcomes[i]!;
    assert.deepEqual([outcome.code, outcome.stdout], [code, ""], body);
    if (typeof wanted === "string") assert.equal(outcome.stderr, `error: ${wanted}\n`);
    else assert.match(outcome.stderr, wanted);
  }
});

Deno.test("runScript() is silent for an Exit without words, and when nothing is wrong", async () => {
  const [exit, fine, help] = await Promise.all([
    run("throw new Exit(143)"),
    run("console.log(args.join());", { args: ["a", "--b"] }),
    run("parseFlags(command, {}, args)", { args: ["--help"] }),
  ]);
  assert.deepEqual(exit, { code: 143, stdout: "", stderr: "" });
  assert.deepEqual(fine, { code: 0, stdout: "a,--b\nwent on\n", stderr: "" });
  assert.deepEqual([help!.code, help!.stderr], [0, ""]);
  assert.match(help!.stdout, /^demo: shows flags\n/);
});

Deno.test("runScript() adds the stack trace for DEBUG=1", async () => {
  const { code, stderr } = await run('throw new Error("wrong")', { env: { DEBUG: "1" } });
  assert.equal(code, 1);
  assert.match(stderr, /^error: wrong\nError: wrong\n {4}at /);
});

Deno.test({
  name: "runScript() ends with its exit code where nobody takes the error",
  ignore: Deno.build.os !== "linux", // /dev/full takes no byte
  fn: async () => {
    const cli = new URL("../../scripts/cli.ts", import.meta.url);
    const code = `import { Exit, runScript } from ${JSON.stringify(cli)};
      await runScript(() => { throw new Exit(143, "stopped"); });`;
    const args = ["-c", 'exec "$@" 2>/dev/full', "sh", Deno.execPath(), "eval", code];
    assert.equal((await new Deno.Command("sh", { args }).output()).code, 143);
  },
});
