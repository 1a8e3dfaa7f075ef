/**
 * Looks at a page in headless Chromium, at several widths.
 *
 * @module
 */
import { existsSync } from "node:fs";
import { basename, delimiter, dirname, join } from "node:path";
import { pathToFileURL } from "node:url";

/** Path of the browser: `CHROMIUM` in the environment, or `chromium` on the path; null without it. */
export const CHROMIUM: string | null = Deno.env.get("CHROMIUM") || onPath("chromium");

function onPath(name: string): string | null {
  const folders = (Deno.env.get("PATH") ?? "").split(delimiter);
  return folders.map((folder) => join(folder, name)).find((path) => existsSync(path)) ?? null;
}

/** What came of a look. */
export interface Look<T> {
  /** Everything that was written to the console, by the browser too. */
  console: string[];
  /** What the probe gave, one a width. */
  pages: T[];
}

/**
 * Opens a page once per width, side by side, and runs a function in each.
 *
 * @param path HTML file; another one is written beside it for the while.
 * @param probe Source of a function in JavaScript that gets the page's window after all has loaded
 * and gives JSON.
 * @throws {Error} If the browser fails.
 */
export async function lookAt<T>(
  path: string,
  widths: readonly number[],
  probe: string,
): Promise<Look<T>> {
  const frames = widths.map((width) =>
    `<iframe src="${
      encodeURI(basename(path))
    }" width="${width}" height="900" style="border:0"></iframe>`
  );
  const harness = join(dirname(path), `harness-${crypto.randomUUID()}.html`);
  const profile = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(
      harness,
      `<!doctype html><meta charset="utf-8">${frames.join("")}<script>
addEventListener("load", () => {
  const pages = Array.from(frames, ${probe});
  document.body.textContent = "[[" + encodeURIComponent(JSON.stringify(pages)) + "]]";
});
</script>`,
    );
    const { success, stdout, stderr } = await new Deno.Command(CHROMIUM!, {
      args: [
        "--headless=new",
        "--no-sandbox", // there is none for root, as in containers
        "--disable-gpu",
        "--allow-file-access-from-files", // the harness looks into the frames
        "--enable-logging=stderr",
        `--user-data-dir=${profile}`,
        "--dump-dom",
        pathToFileURL(harness).href,
      ],
      stdout: "piped",
      stderr: "piped",
    }).output();
    const [dom, log] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
    const json = /\[\[(.*?)\]\]/.exec(dom!)?.[1];
    if (!success || json === undefined) throw new Error(`Cannot look at ${path}: ${log}`);
    return {
      console: log!.split("\n").filter((line) => line.includes("CONSOLE")),
      pages: JSON.parse(decodeURIComponent(json)),
    };
  } finally {
    await Deno.remove(harness);
    await Deno.remove(profile, { recursive: true });
  }
}
