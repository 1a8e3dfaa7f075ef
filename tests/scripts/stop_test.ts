import assert from "node:assert/strict";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";

/** Takes no byte, as the standard error of a user who is not there any more; Linux alone has it. */
const FULL = "/dev/full";

// What the first signal does is seen in tests/faults/run_test.ts.
for (const name of ["SIGINT", "SIGTERM"] as const) {
  for (const errors of ["/dev/null", FULL]) {
    Deno.test({
      name: `listenForStop() lets the second ${name} end a busy process at once, stderr ${errors}`,
      ignore: errors === FULL && Deno.build.os !== "linux",
      fn: async () => {
        const script = fileURLToPath(new URL("stop_child.ts", import.meta.url));
        const child = new Deno.Command("sh", {
          args: ["-c", `exec "$@" 2>${errors}`, "sh", Deno.execPath(), "run", "--quiet", script],
          stdout: "piped",
        }).spawn();
        let said = "";
        for await (const part of child.stdout.pipeThrough(new TextDecoderStream())) {
          said += part;
          child.kill(name); // once when it listens, and once when it does not any more
        }
        assert.equal(said, "listening\nasked to stop\n");
        assert.equal((await child.status).signal, name);
      },
    });
  }
}

Deno.test({
  name: "listenForStop() takes a signal and its echo for one, and a closed terminal for none",
  ignore: Deno.build.os === "windows",
  fn: async () => {
    const script = fileURLToPath(new URL("stop_child.ts", import.meta.url));
    const child = new Deno.Command(Deno.execPath(), {
      args: ["run", "--quiet", script, "orderly"],
      stdout: "piped",
      stderr: "null",
    }).spawn();
    let said = "";
    for await (const part of child.stdout.pipeThrough(new TextDecoderStream())) {
      said += part;
      if (said !== "listening\n") continue;
      for (const name of ["SIGHUP", "SIGINT", "SIGINT"] as const) {
        child.kill(name);
        await delay(10); // the echo of `deno task` comes within one
      }
    }
    assert.equal(said, "listening\nasked to stop\nstopped\n");
    assert.equal((await child.status).code, 0);
  },
});
