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

/** Listens for Ctrl-C and SIGTERM. The second one ends the process at once, whatever it does. */
export function listenForStop(): Stop {
  const controller = new AbortController();
  const names = Object.keys(CODES) as (keyof typeof CODES)[];
  const handlers = names.filter((name) => Deno.build.os !== "windows" || name === "SIGINT")
    .map((name) => {
      const handler = () => {
        close(); // a handler would wait for the GPU, as everything here does
        controller.abort(new Exit(CODES[name]));
        say("stderr", `\n${name}: finishing the step and saving; once more to end at once`);
      };
      Deno.addSignalListener(name, handler);
      return [name, handler] as const;
    });
  const close = () => {
    for (const [name, handler] of handlers) Deno.removeSignalListener(name, handler);
  };
  return { signal: controller.signal, close };
}
