import assert from "node:assert/strict";
import { join } from "node:path";
import { main } from "../../scripts/embed.ts";
import { pair } from "./tiny_world.ts";

Deno.test("embed refuses a folder without pictures before it reads the adapter", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(join(folder, "notes.txt"), "");
    const output = join(folder, "embeddings.safetensors");
    await assert.rejects(main(["--adapter", "none", "--pictures", folder, "--output", output]), {
      message: `Cannot embed ${folder}: there is no picture in it, expected at least 1`,
    });
    await assert.rejects(Deno.stat(output), Deno.errors.NotFound);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("embed refuses a wrong --data_root before it reads the adapter", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const pairs = join(folder, "pairs.json");
    await Deno.writeTextFile(pairs, JSON.stringify([pair("0.jpg", "0.jpg")]));
    const root = join(folder, "none");
    const flags = ["--adapter", "none", "--test_pairs_meta_file", pairs, "--data_root", root];
    await assert.rejects(main([...flags, "--output", join(folder, "e.safetensors")]), {
      message: `Cannot find pictures in ${root}: there is no such folder, expected the data root ` +
        "of drone/0.jpg (--data_root, or its entry's data_root)",
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
