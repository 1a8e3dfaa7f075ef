import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";

// What the first signal does is seen in tests/faults/run_test.ts.
for (const name of ["SIGINT", "SIGTERM"] as const) {
  Deno.test(`listenForStop() lets the second ${name} end a busy process at once`, async () => {
    const script = fileURLToPath(new URL("stop_child.ts", import.meta.url));
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "--quiet", script],
      stdout: "piped",
      stderr: "null",
    }).spawn();
    let said = "";
    for await (const part of child.stdout.pipeThrough(new TextDecoderStream())) {
      said += part;
      child.kill(name); // once when it listens, and once when it does not any more
    }
    assert.equal(said, "listening\nasked to stop\n");
    assert.equal((await child.status).signal, name);
  });
}
