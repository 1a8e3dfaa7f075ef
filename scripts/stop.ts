import { Exit } from "./cli.ts";
import { say } from "./progress.ts";

/** Listens for a request to stop. */
export interface Stop {
  /** Aborted by the first signal, with an {@linkcode Exit} of its code. */
  signal: AbortSignal;
  /** Stops listening. */
  close(): void;
}

const CODES = { SIGINT: 130, SIGTERM: 143 } as const;

/**
 * `deno task` hands on what the terminal, or a `kill` of the process group, has sent here already:
 * one Ctrl-C is two signals, a moment apart.
 */
const ECHO_MS = 200;

/**
 * Listens for Ctrl-C and SIGTERM. The second one ends the process at once, whatever it does. A
 * terminal that is closed (SIGHUP) ends nothing.
 */
export function listenForStop(): Stop {
  const controller = new AbortController();
  const names = Object.keys(CODES) as (keyof typeof CODES)[];
  const handlers = names.filter((name) => Deno.build.os !== "windows" || name === "SIGINT")
    .map((name) => {
      const handler = () => {
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ECHO_MS);
        deafen(); // a handler would wait for the GPU, as everything here does
        controller.abort(new Exit(CODES[name]));
        say("stderr", `\n${name}: finishing the step and saving; once more to end at once`);
      };
      Deno.addSignalListener(name, handler);
      return [name, handler] as const;
    });
  const deafen = () => {
    for (const [name, handler] of handlers) Deno.removeSignalListener(name, handler);
  };
  const ignore = () => {};
  if (Deno.build.os !== "windows") Deno.addSignalListener("SIGHUP", ignore);
  return {
    signal: controller.signal,
    close() {
      deafen();
      if (Deno.build.os !== "windows") Deno.removeSignalListener("SIGHUP", ignore);
    },
  };
}
