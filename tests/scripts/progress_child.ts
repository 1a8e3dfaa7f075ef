/** Prints all that a run may print, and writes to the run's folder that it could. */
import { join } from "node:path";
import { keepLayouts } from "../../scripts/layouts.ts";
import { Progress } from "../../scripts/progress.ts";
import { RunFolder } from "../../scripts/run_folder.ts";

const path = Deno.args[0]!;
const folder = new RunFolder(path);
folder.log("a result");
folder.note("a note");
new Progress("train").show({ done: 1, total: 2, words: [] });
await keepLayouts(new Map([["kernel", "tile"]]), join(path, "log.txt", "layouts.json"));
folder.record("all was said");
