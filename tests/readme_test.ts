/**
 * README's commands work in a fresh copy of what git knows, and print what README shows.
 *
 * @module
 */
import assert from "node:assert/strict";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { GPU_OFF } from "./testing.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const IS_CHECKOUT = Deno.build.os !== "windows" &&
  await Deno.stat(join(ROOT, ".git")).then(() => true, () => false);

interface Block {
  commands: string;
  /** The block that follows at once or after some prose, where it shows an output. */
  output: string[];
}

/** Blocks after a line `<!-- runnable -->`, and what README says that they print. */
function runnableBlocks(readme: string): Block[] {
  const pattern =
    /<!-- runnable -->\n```sh\n(.*?)```\n(.*?)(?=\n```sh\n|\n<!-- runnable -->|\n## )/gs;
  return [...readme.matchAll(pattern)].map(([, commands, rest]) => ({
    commands: commands!,
    output: (/\n```\n(.*?)\n```/s.exec(rest!)?.[1] ?? "").split("\n").filter((line) => line !== ""),
  }));
}

/** A line without its numbers, which differ a little from adapter to adapter. */
function masked(line: string): string {
  return line.replace(/\d+(\.\d+)?/g, "N");
}

async function copyCheckout(to: string): Promise<void> {
  const list = ["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"];
  const { stdout } = await new Deno.Command("git", { args: list, cwd: ROOT }).output();
  for (const path of new TextDecoder().decode(stdout).split("\0").filter((path) => path !== "")) {
    await Deno.mkdir(dirname(join(to, path)), { recursive: true });
    // What git lists may have been deleted since.
    await Deno.copyFile(join(ROOT, path), join(to, path)).catch((error) => {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    });
  }
}

/** Puts the demo's two regions where README has the three public data sets. */
async function layOutDataSets(clone: string): Promise<void> {
  const copies = [
    ["north", "GTA-UAV", "drone2sate"],
    ["south", "UAV-VisLoc", "drone2sate"],
    ["north", "VPAIR", "drone2drone"],
  ] as const;
  for (const [region, name, kind] of copies) {
    const from = join(clone, "work_dir/demo", region);
    for (const folder of ["drone", "satellite"]) {
      await Deno.mkdir(join(clone, name, folder), { recursive: true });
      for await (const file of Deno.readDir(join(from, folder))) {
        await Deno.copyFile(join(from, folder, file.name), join(clone, name, folder, file.name));
      }
    }
    for (const split of ["train", "test"]) {
      await Deno.copyFile(
        join(from, `cross-area-drone2sate-${split}.json`),
        join(clone, name, `cross-area-${kind}-${split}.json`),
      );
    }
  }
}

async function run(commands: string, cwd: string): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command("sh", {
    args: ["-e", "-c", commands],
    cwd,
    env: { NO_COLOR: "1" },
  }).output();
  const [text, errors] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  assert.equal(code, 0, `${commands}\n${text}\n${errors}`);
  return text!;
}

Deno.test("README says which of its blocks can be run", () => {
  const blocks = runnableBlocks(Deno.readTextFileSync(join(ROOT, "README.md")));
  assert.deepEqual(
    blocks.map(({ commands, output }) => [commands.split("\n").length, output.length]),
    [
      [3, 8], // set up and demo, doctor; the recall lines
      [6, 0], // two merges
    ],
  );
});

Deno.test("README's tables of memory and time are those of docs/performance.md", async () => {
  const [readme, performance] = await Promise.all(
    ["README.md", "docs/performance.md"].map((name) => Deno.readTextFile(join(ROOT, name))),
  );
  const section = /\n## Memory and time\n(.*?)\n## /s.exec(readme!)?.[1] ?? "";
  const rows = section.split("\n").filter((line) => line.startsWith("|"));
  assert(rows.length > 8, `there are ${rows.length} rows`);
  const known = new Set(performance!.split("\n"));
  for (const row of rows) assert(known.has(row), `not in docs/performance.md: ${row}`);
});

Deno.test("README's table of what is wrong quotes messages that the sources have", async () => {
  const readme = await Deno.readTextFile(join(ROOT, "README.md"));
  const section = /\n## When something is wrong\n(.*?)\n## /s.exec(readme)?.[1] ?? "";
  const seen = section.split("\n").filter((line) => line.startsWith("| ")).slice(1)
    .map((row) => row.split("|")[1]!);
  const fragments = seen.flatMap((cell) => [...cell.matchAll(/`(.+?)`/g)])
    .flatMap(([, message]) => message!.split("…"));
  assert(fragments.length >= 6, `there are ${fragments.length} fragments`);
  let sources = "";
  for (const folder of ["data", "kernels", "model", "scripts"]) {
    for await (const { name } of Deno.readDir(join(ROOT, folder))) {
      if (name.endsWith(".ts")) sources += await Deno.readTextFile(join(ROOT, folder, name));
    }
  }
  sources = sources.replaceAll(/["`] \+\s+["`]/g, ""); // a message may take two lines
  for (const each of fragments) assert(sources.includes(each), `no source says "${each}"`);
});

Deno.test({
  name: "README's runnable blocks run in a fresh copy, and print what it shows",
  ignore: GPU_OFF || !IS_CHECKOUT,
  fn: async () => {
    const clone = await Deno.makeTempDir();
    try {
      await copyCheckout(clone);
      const readme = await Deno.readTextFile(join(clone, "README.md"));
      for (const [i, { commands, output }] of runnableBlocks(readme).entries()) {
        if (i === 1) await layOutDataSets(clone);
        const printed = new Set((await run(commands, clone)).split("\n").map(masked));
        for (const line of output) assert(printed.has(masked(line)), `not printed: ${line}`);
      }
    } finally {
      await Deno.remove(clone, { recursive: true });
    }
  },
});
