import assert from "node:assert/strict";
import { join } from "node:path";
import { main as embed } from "../../scripts/embed.ts";
import { main as evaluate } from "../../scripts/eval.ts";
import { main as locate } from "../../scripts/locate.ts";
import { pair } from "./tiny_world.ts";

for (
  const [name, main, file, expected] of [
    ["eval", evaluate, "test_pairs_meta_file", "drone"],
    ["embed", embed, "test_pairs_meta_file", "drone"],
    ["locate", locate, "references", "satellite"],
  ] as const
) {
  Deno.test(`${name} refuses a wrong --data_root before it reads the adapter`, async () => {
    const folder = await Deno.makeTempDir();
    try {
      const pairs = join(folder, "pairs.json");
      await Deno.writeTextFile(pairs, JSON.stringify([pair("0.jpg", "0.jpg")]));
      const root = join(folder, "none");
      const flags = ["--adapter", "none", `--${file}`, pairs, "--data_root", root];
      if (name === "embed") flags.push("--output", join(folder, "embeddings.safetensors"));
      if (name === "locate") flags.push("--pictures", pairs); // which is there
      await assert.rejects(main(flags), {
        message:
          `Cannot find pictures in ${root}: there is no such folder, expected the data root ` +
          `of ${expected}/0.jpg (its entry's data_root, else --data_root)`,
      });
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}
