/** Runs the demo on a world of the size in the arguments: `demo_child.ts FOLDER SIZE_AS_JSON`. */
import { runDemo } from "../../scripts/demo.ts";

const [folder, size] = Deno.args;
const { before, after, run } = await runDemo(folder!, JSON.parse(size!));
console.log(JSON.stringify({ before: before.overall, after: after.overall, run }));
