import assert from "node:assert/strict";
import { GPU_OFF } from "../testing.ts";
import { runCommand } from "../scripts/command.ts";

const bench = (...args: string[]) => runCommand("../bench/bench", args);

Deno.test("bench refuses a topic it does not know, whatever its flags", async () => {
  const { code, stderr } = await bench("kernel", "--quick");
  assert.equal(code, 2);
  assert.equal(
    stderr,
    'error: Cannot run bench: there is no "kernel", only kernels, step, cost, memory, retrieval, loader\n',
  );
});

Deno.test("bench refuses flags that change nothing of a topic", async () => {
  for (
    const [args, flag] of [
      [["memory", "--rounds", "3"], "rounds"],
      [["cost", "--precision", "f32"], "precision"],
      [["kernels", "--batch_size", "4"], "batch_size"],
      [["loader", "--json", "x.json"], "json"],
    ] as const
  ) {
    const { code, stderr } = await bench(...args);
    assert.equal(code, 2);
    assert.equal(
      stderr,
      `error: Cannot run bench: --${flag} changes nothing of ${args[0]}\n`,
    );
  }
});

Deno.test({
  name: "bench refuses a file that it cannot write before it measures",
  ignore: GPU_OFF,
  fn: async () => {
    const { code, stdout, stderr } = await bench("memory", "--json", "no/x.json");
    assert.equal(code, 1);
    assert.equal(stderr, "error: Cannot write no/x.json: there is no folder no\n");
    assert.equal(stdout.trim().split("\n").length, 1);
  },
});

Deno.test({
  name: "bench prints the adapter and tables, and writes them with --json",
  ignore: GPU_OFF,
  fn: async () => {
    const file = await Deno.makeTempFile();
    try {
      const { code, stdout, stderr } = await bench("memory", "--json", file);
      assert.equal(code, 0, stderr);
      assert.equal(stderr, `wrote ${file}\n`);
      const lines = stdout.trim().split("\n");
      assert.match(lines[0]!, /^# adapter .+, host \w+, deno /);
      assert.deepEqual(lines[3]!.split("\t").slice(0, 3), ["px", "precision", "checkpointing"]);
      const { machine, tables } = JSON.parse(await Deno.readTextFile(file));
      assert(lines[0]!.includes(machine.adapter));
      assert.equal(tables.memory.length, lines.length - 4);
    } finally {
      await Deno.remove(file);
    }
  },
});
