import assert from "node:assert/strict";
import { join } from "node:path";
import { writeSafetensors } from "../../model/safetensors.ts";
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

Deno.test("locate refuses a side that is not made of patches", () =>
  assert.rejects(
    main([...MODEL, "--pictures", "a.jpg", "--references", "test.json", "--img_size", "40"]),
    {
      name: "UsageError",
      message: "Cannot run locate: --img_size must be a multiple of 16, as 32 or 48: got 40",
    },
  ));

/** Runs it as a user does: in this process it would give up what later tests need. */
const locate = (flags: readonly string[]) => runTask("locate", flags);

async function fails(flags: readonly string[], line: RegExp): Promise<void> {
  const { code, stdout, stderr } = await locate(flags);
  assert.equal(code, 1, stderr);
  assert.equal(stdout, "");
  assert.match(stderr, line);
}

Deno.test("locate refuses a file without references, and a folder without photos", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const file = join(folder, "pairs.json");
    const flags = [...MODEL, "--pictures", folder, "--references", file, "--data_root", folder];
    const bare = { ...pair("0.jpg", ""), pair_pos_sate_img_list: [] };
    await Deno.writeTextFile(file, JSON.stringify([{ ...bare, pair_pos_sate_weight_list: [] }]));
    await fails(flags, /^error: Cannot search .*pairs\.json: it names no reference$/m);
    await Deno.writeTextFile(file, JSON.stringify([pair("0.jpg", "0.jpg")]));
    await fails(flags, /^error: Cannot find pictures in .*: there is none, expected at least 1$/m);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

// More than the references of a file that are compared with the model's.
const PLACES = 9;

Deno.test({
  name: "locate gives the places of the references that a photo is most like",
  ignore: GPU_OFF,
  fn: async (t) => {
    // Four folders: what it may not read or write lies in none of them.
    const [root, photos, files, output] = await Promise.all(
      Array.from({ length: 4 }, () => Deno.makeTempDir()),
    ) as [string, string, string, string];
    await writeTinyWorld(root, PLACES);
    const names = Array.from({ length: PLACES }, (_, i) => `${i}.jpg`);
    for (const name of ["0.jpg", "1.jpg", "8.jpg"]) {
      await Deno.rename(join(root, "drone", name), join(photos, name));
    }
    const entries = names.map((name, i) => ({
      ...pair(name, name),
      ...(i < PLACES - 1 && { pair_pos_sate_loc_lat_lon_list: [[47 + i, 8]] }),
    }));
    const write = async (name: string, list: unknown[]) => {
      await Deno.writeTextFile(join(files, name), JSON.stringify(list));
      return join(files, name);
    };
    const [pairs, reversed] = [
      await write("pairs.json", entries),
      await write("reversed.json", entries.toReversed()),
    ];
    const model = [
      ...[...MODEL, "--weights", join(root, "weights.safetensors"), "--depth", "2"],
      ...["--img_size", "32", "--num_workers", "0"],
    ];
    const flags = [...model, "--data_root", root, "--pictures", photos];
    let expected: Located[] = [];

    await t.step("on stdout", async () => {
      const { code, stdout, stderr } = await locate([...flags, "--references", pairs]);
      assert.equal(code, 0, stderr);
      expected = parse(stdout);
      assert.deepEqual(
        expected.map(({ picture, top: [best] }) => [picture, best!.reference, best!.location]),
        [
          [join(photos, "0.jpg"), "satellite/0.jpg", { unit: "degrees", lat: 47, lon: 8 }],
          [join(photos, "1.jpg"), "satellite/1.jpg", { unit: "degrees", lat: 48, lon: 8 }],
          [join(photos, "8.jpg"), "satellite/8.jpg", null],
        ],
      );
      for (const { top } of expected) {
        assert.equal(top.length, 5);
        for (let i = 1; i < 5; i++) assert(top[i - 1]!.score > top[i]!.score);
        assert(top[0]!.score <= 1 + 1e-6);
      }
    });

    await t.step("in a file", async () => {
      const path = join(output, "located.jsonl");
      const one = [...flags.slice(0, -1), join(photos, "1.jpg"), "--references", pairs];
      const { code, stdout, stderr } = await locate([...one, "--top_k", "2", "--output", path]);
      assert.equal(code, 0, stderr);
      assert.equal(stdout, "");
      const text = await Deno.readTextFile(path);
      assert.match(text, /^[^\n]+\n$/);
      assert.deepEqual(parse(text), [{ ...expected[1], top: expected[1]!.top.slice(0, 2) }]);
    });

    await t.step("of every picture in the references' folder", async () => {
      const one = await write("one.json", entries.slice(0, 1));
      const { code, stdout, stderr } = await locate([
        ...[...flags, "--references", one],
        ...["--gallery", "folder", "--top_k", "100"],
      ]);
      assert.equal(code, 0, stderr);
      const [{ top }] = parse(stdout) as [Located];
      assert.deepEqual(top.map(({ reference }) => reference).toSorted(), names.map(inSatellite));
    });

    const embeddings = join(files, "e.safetensors");
    await t.step("whose embeddings are known, in any order", async () => {
      for (const name of ["0.jpg", "1.jpg", "8.jpg"]) {
        await Deno.copyFile(join(photos, name), join(root, "drone", name)); // queries of the file
      }
      const test = ["--test_pairs_meta_file", pairs, "--data_root", root];
      const embedded = await runTask("embed", [...model, ...test, "--output", embeddings]);
      assert.equal(embedded.code, 0, embedded.stderr);
      const known = [...flags, "--references", reversed, "--embeddings", embeddings];
      const { code, stdout, stderr } = await locate(known);
      assert.equal(code, 0, stderr);
      assert.match(stderr, / 7\/7 /, "three photos, four references to compare");
      // A file's rows are brought to unit length once more.
      const rounded = (located: unknown) => parse(JSON.stringify(located), 6);
      assert.deepEqual(rounded(parse(stdout)), rounded(expected));
    });

    await t.step("but not of another model", async () => {
      const known = [...flags, "--references", reversed, "--embeddings", embeddings];
      const cosine =
        /^error: Cannot use .*e\.safetensors: another model has made it, or this one at another size, as its embedding of .*8\.jpg has a cosine of 0\.\d{5} with the one made here, expected 0\.9999 or more$/m;
      await fails([...known, "--depth", "1"], cosine);
      await fails([...known, "--img_size", "48"], cosine);
      const rows = { shape: [PLACES, 8], data: new Float32Array(PLACES * 8).fill(1) };
      await writeSafetensors(embeddings, new Map([["query", rows], ["gallery", rows]]), {
        query: JSON.stringify(names),
        gallery: JSON.stringify(names.map(inSatellite)),
      });
      await fails(known, /: its embeddings have 8 values, expected this model's 384$/m);
    });

    await t.step("and overwrites no photo", async () => {
      const photo = join(photos, "0.jpg");
      const before = await Deno.readFile(photo);
      await fails(
        [...flags, "--references", pairs, "--output", photo],
        /^error: Cannot write .*0\.jpg: it is an input, expected another file$/m,
      );
      assert.deepEqual(await Deno.readFile(photo), before);
    });

    for (const folder of [root, photos, files, output]) {
      await Deno.remove(folder, { recursive: true });
    }
  },
});

function inSatellite(name: string): string {
  return `satellite/${name}`;
}
