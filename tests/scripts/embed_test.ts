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
      message: `Cannot find pictures in ${folder}: there is none, expected at least 1`,
    });
    await assert.rejects(Deno.stat(output), Deno.errors.NotFound);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("embed refuses a picture that is not there before it reads the adapter", () =>
  assert.rejects(main(["--adapter", "none", "--pictures", "no.jpg", "--output", "e.safetensors"]), {
    message: "Cannot read no.jpg: no such file",
  }));

Deno.test("embed overwrites no picture of a folder, nor of a pairs file", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const [photo, pairs] = [join(folder, "drone", "0.jpg"), join(folder, "pairs.json")];
    await Deno.mkdir(join(folder, "drone"));
    await Deno.writeTextFile(photo, "");
    await Deno.writeTextFile(pairs, JSON.stringify([pair("0.jpg", "0.jpg")]));
    for (
      const inputs of [
        ["--pictures", folder],
        ["--test_pairs_meta_file", pairs, "--data_root", folder],
      ]
    ) {
      await assert.rejects(main(["--adapter", "none", ...inputs, "--output", photo]), {
        name: "TypeError",
        message: `Cannot write ${photo}: it is an input, expected another file`,
      });
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("embed refuses flags of a pairs file with --pictures", () =>
  assert.rejects(main(["--model", "vits16", "--pictures", ".", "--output", "e", "--same_map"]), {
    name: "UsageError",
    message: "Cannot run embed: --same_map belongs to --test_pairs_meta_file",
  }));

Deno.test("embed wants a model", () =>
  assert.rejects(main(["--pictures", ".", "--output", "embeddings.safetensors"]), {
    name: "UsageError",
    message: "Cannot run embed: give --adapter, or --model for a backbone as it is",
  }));
