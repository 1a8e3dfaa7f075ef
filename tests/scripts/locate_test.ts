import assert from "node:assert/strict";
import { join } from "node:path";
import { type Located, main } from "../../scripts/locate.ts";
import { GPU_OFF } from "../testing.ts";
import { runTask } from "./command.ts";
import { pair, writeTinyWorld } from "./tiny_world.ts";

const MODEL = ["--model", "vits16"];

/** Lines of output, scores with so many digits behind the point. */
function parse(lines: string, digits = 20): Located[] {
  return lines.trim().split("\n").map((line) =>
    JSON.parse(line, (key, value) => key === "score" ? Number(value.toFixed(digits)) : value)
  );
}

Deno.test("locate wants photos and a model", async () => {
  const references = ["--references", "test.json"];
  await assert.rejects(main([...MODEL, ...references]), {
    name: "UsageError",
    message: "Cannot run locate: --pictures is missing",
  });
  await assert.rejects(main(["--pictures", "a.jpg", ...references]), {
    name: "UsageError",
    message: "Cannot run locate: give --adapter, or --model for a backbone as it is",
  });
});

Deno.test("locate refuses a file without references, and a folder without photos", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const file = join(folder, "pairs.json");
    const flags = [...MODEL, "--pictures", folder, "--references", file, "--data_root", folder];
    const { pair_pos_sate_img_list: _, pair_pos_sate_weight_list: __, ...bare } = pair("0.jpg", "");
    await Deno.writeTextFile(file, JSON.stringify([{ ...bare, pair_pos_sate_img_list: [] }]));
    await assert.rejects(main(flags), {
      name: "TypeError",
      message: `Cannot search ${file}: it names no reference`,
    });
    await Deno.writeTextFile(file, JSON.stringify([pair("0.jpg", "0.jpg")]));
    await assert.rejects(main(flags), {
      message: `Cannot embed ${folder}: there is no picture in it, expected at least 1`,
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test({
  name: "locate gives the places of the references that a photo is most like",
  ignore: GPU_OFF,
  fn: async () => {
    const folder = await Deno.makeTempDir();
    try {
      await writeTinyWorld(folder, 5);
      const entries = [0, 1, 2, 3, 4].map((i) => ({
        ...pair(`${i}.jpg`, `${i}.jpg`),
        ...(i < 2 && { pair_pos_sate_loc_lat_lon_list: [[47 + i, 8]] }),
      }));
      const file = (name: string) => join(folder, name);
      await Deno.writeTextFile(file("pairs.json"), JSON.stringify(entries));
      const flags = [
        ...[...MODEL, "--weights", file("weights.safetensors"), "--depth", "2"],
        ...["--img_size", "32", "--num_workers", "0"],
        ...["--references", "pairs.json", "--data_root", folder, "--pictures", file("drone")],
      ];
      const { code, stdout, stderr } = await runTask("locate", [...flags, "--top_k", "2"]);
      assert.equal(code, 0, stderr);
      const located = parse(stdout);
      assert.deepEqual(
        located.slice(0, 3).map(({ picture, top: [best] }) => [
          picture,
          best!.reference,
          best!.location,
        ]),
        [
          [file("drone/0.jpg"), "satellite/0.jpg", { unit: "degrees", lat: 47, lon: 8 }],
          [file("drone/1.jpg"), "satellite/1.jpg", { unit: "degrees", lat: 48, lon: 8 }],
          [file("drone/2.jpg"), "satellite/2.jpg", null],
        ],
      );
      for (const { top } of located) {
        assert.equal(top.length, 2);
        assert(top[0]!.score > top[1]!.score && top[0]!.score <= 1.0001);
      }

      const embeddings = file("embeddings.safetensors");
      const model = flags.slice(0, flags.indexOf("--references"));
      const embedded = await runTask("embed", [
        ...[...model, "--test_pairs_meta_file", "pairs.json", "--data_root", folder],
        ...["--output", embeddings],
      ]);
      assert.equal(embedded.code, 0, embedded.stderr);
      const known = [...flags, "--embeddings", embeddings];
      const again = await runTask("locate", [...known, "--top_k", "2"]);
      assert.equal(again.code, 0, again.stderr);
      assert.match(again.stderr, / 4\/4 .*\n[^]* 5\/5 /, "four references to check, then photos");
      assert.equal(again.stderr.match(/ 5\/5 /g)!.length, 1, again.stderr);
      // A file's rows are brought to unit length once more.
      assert.deepEqual(parse(again.stdout, 6), parse(stdout, 6));
      const other = await runTask("locate", [...known, "--depth", "1"]);
      assert.equal(other.code, 1);
      assert.match(
        other.stderr,
        /^error: Cannot use .*: its embedding of .*0\.jpg is another model's, its cosine with this one's is 0\.\d{3}, expected 0\.99 or more$/m,
      );

      const output = file("located.jsonl");
      const one = [...flags.slice(0, -1), file("drone/1.jpg"), "--output", output];
      const written = await runTask("locate", one);
      assert.equal(written.code, 0, written.stderr);
      assert.equal(written.stdout, "");
      const lines = parse(await Deno.readTextFile(output));
      assert.deepEqual(
        lines.map(({ top }) => [top.length, top[0]!.reference]),
        [[5, "satellite/1.jpg"]],
      );
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
});
