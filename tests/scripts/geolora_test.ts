import assert from "node:assert/strict";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import project from "../../deno.json" with { type: "json" };
import { HelpRequest } from "../../scripts/cli.ts";
import { main } from "../../scripts/geolora.ts";
import { runCommand } from "./command.ts";

const SCRIPTS = fileURLToPath(new URL("../../scripts", import.meta.url));

/** Build steps, which need the sources. */
const NOT_IN_BINARY: readonly string[] = ["compile", "geolora"];

/** Names of the scripts that are commands. */
async function commands(): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of Deno.readDir(SCRIPTS)) {
    const text = await Deno.readTextFile(join(SCRIPTS, name));
    if (text.includes("runScript(main)")) names.push(name.replace(/\.ts$/, ""));
  }
  return names.filter((name) => !NOT_IN_BINARY.includes(name)).sort();
}

Deno.test("geolora --help lists every command with what it does", async () => {
  const help: unknown = await main(["--help"]).catch((error) => error);
  assert(help instanceof HelpRequest);
  const listed = [...help.message.matchAll(/^ {2}(\w+) +(\w.+)$/gm)];
  assert.deepEqual(listed.map(([, name]) => name).sort(), await commands());
  for (const name of ["-h", "help"]) await assert.rejects(main([name]), help);
  const [, , summary] = listed.find(([, name]) => name === "merge")!;
  assert.equal(summary, "merges pairs files of several data sets into one");
});

Deno.test("geolora hands flags to a command", async () => {
  const help: unknown = await main(["export", "--help"]).catch((error) => error);
  assert.match((help as Error).message, /^export: .*\n\n +--adapter FOLDER/);
  await assert.rejects(main(["export", "--onyx"]), { message: /^Cannot run export: .*--onyx/ });
});

Deno.test("geolora --version prints that of the project, and an unknown command is usage", async () => {
  const version = await runCommand("geolora", ["--version"]);
  assert.deepEqual([version.code, version.stdout], [0, `geolora ${project.version}\n`]);
  const unknown = await runCommand("geolora", ["trian"]);
  assert.equal(unknown.code, 2);
  assert.match(
    unknown.stderr,
    /^error: Cannot run geolora: there is no command "trian", expected one of .*train.*\n$/,
  );
  await assert.rejects(main([]), { message: /^Cannot run geolora: no command is given/ });
});
