import assert from "node:assert/strict";
import { join } from "node:path";
import { main as embed } from "../../scripts/embed.ts";
import { main as evaluate } from "../../scripts/eval.ts";
import { pair } from "./tiny_world.ts";

for (const [name, main] of Object.entries({ embed, eval: evaluate })) {
  Deno.test(`${name} refuses a wrong --data_root before it reads the adapter`, async () => {
    const folder = await Deno.makeTempDir();
    try {
      const pairs = join(folder, "pairs.json");
      await Deno.writeTextFile(pairs, JSON.stringify([pair("0.jpg", "0.jpg")]));
      const root = join(folder, "none");
      const flags = ["--adapter", "none", "--test_pairs_meta_file", pairs, "--data_root", root];
      if (name === "embed") flags.push("--output", join(folder, "embeddings.safetensors"));
      await assert.rejects(main(flags), {
        message:
          `Cannot find pictures in ${root}: there is no such folder, expected the data root ` +
          "of drone/0.jpg (its entry's data_root, else --data_root)",
      });
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });
}
