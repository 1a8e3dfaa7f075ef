/**
 * Tries what a command has no business to do: preloaded into one, when the command ends; as a
 * worker, at once.
 *
 * @module
 */
const OUTSIDE = Deno.env.get("OUTSIDE")!; // of the folders that the command needs

/** By attempt, what became of it: `NotCapable`, or `done`. */
function attempt(): Record<string, string> {
  const attempts: Record<string, () => void> = {
    write: () => Deno.writeTextFileSync(`${OUTSIDE}/written`, ""),
    remove: () => Deno.removeSync(`${OUTSIDE}/secret`),
    read: () => Deno.readTextFileSync(`${OUTSIDE}/secret`),
    net: () => Deno.listen({ hostname: "127.0.0.1", port: 0 }).close(),
    run: () => new Deno.Command("true").outputSync(),
    ffi: () => Deno.dlopen("libm.so.6", {}).close(),
    sys: () => Deno.hostname(),
    env: () => Deno.env.get("SECRET"),
  };
  return Object.fromEntries(
    Object.entries(attempts).map(([name, tryIt]) => {
      try {
        tryIt();
        return [name, "done"];
      } catch (error) {
        return [name, (error as Error).name];
      }
    }),
  );
}

if ("WorkerGlobalScope" in globalThis) (self as unknown as Worker).postMessage(attempt());
else addEventListener("unload", () => console.error(`attempts: ${JSON.stringify(attempt())}`));
