import assert from "node:assert/strict";
import { join } from "node:path";
import sharp from "sharp";
import { parseEntries } from "../../data/pairs.ts";
import { UsageError } from "../../scripts/cli.ts";
import { main } from "../../scripts/merge.ts";

const ENTRY = {
  drone_img_dir: "drone",
  drone_img_name: "a.png",
  drone_loc_x_y: [50.1, 7.1],
  sate_img_dir: "tiles",
  pair_pos_sate_img_list: ["b.png"],
  pair_pos_sate_loc_x_y_list: [[50.1, 7.1]],
};

/** Runs the command in a folder with pairs of two entries; gives what it printed on stdout. */
async function inFolder(
  fn: (folder: string, run: (...args: string[]) => Promise<string>) => Promise<void>,
) {
  const folder = await Deno.makeTempDir();
  const { log, error } = console;
  try {
    const entries = [ENTRY, { ...ENTRY, drone_img_name: "ж.png" }];
    await Deno.writeTextFile(join(folder, "pairs.json"), JSON.stringify(entries));
    await fn(folder, async (...args) => {
      const lines: string[] = [];
      console.log = (line) => lines.push(line);
      console.error = () => {};
      try {
        await main([...args, "--output", join(folder, "merged.json")]);
      } catch (cause) {
        throw Object.assign(cause as Error, { printed: lines.join("\n") });
      } finally {
        Object.assign(console, { log, error });
      }
      return lines.join("\n");
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

Deno.test("merge writes all sources with their keys and prints the shares", async () => {
  await inFolder(async (folder, run) => {
    const json = join(folder, "pairs.json");
    const table = await run(
      ...["--visloc_json", json, "--visloc_root", folder, "--visloc_multiplier", "3"],
      ...["--source", `flight=${json},${folder},1,85.5`, "--source", `plain=${json},${folder}`],
    );
    assert.equal(
      table,
      "source            entries   copies   merged    share\n" +
        "visloc                  2       x3        6    60.0%\n" +
        "flight                  2       x1        2    20.0%\n" +
        "plain                   2       x1        2    20.0%\n" +
        "total                                    10",
    );
    const path = join(folder, "merged.json");
    const entries = parseEntries(await Deno.readTextFile(path), { path });
    assert.equal(entries.length, 10);
    const of = (name: string) => entries.filter(({ source }) => source === name);
    assert.deepEqual(of("visloc").map((entry) => entry.duplicateId).sort(), [0, 0, 1, 1, 2, 2]);
    assert.deepEqual(of("visloc").map((entry) => entry.altitudeMeters), Array(6).fill(400));
    assert.deepEqual(of("flight").map((entry) => entry.altitudeMeters), [85.5, 85.5]);
    assert.deepEqual(of("plain").map((entry) => entry.altitudeMeters), [null, null]);
    assert.deepEqual(of("plain")[0]!.query.root, folder);
  });
});

Deno.test("merge keeps the order with --no_shuffle and takes the seed", async () => {
  await inFolder(async (folder, run) => {
    const source = ["--source", `a=${join(folder, "pairs.json")},${folder},20`];
    const order = async (...args: string[]) => {
      await run(...source, ...args);
      const path = join(folder, "merged.json");
      return parseEntries(await Deno.readTextFile(path), { path })
        .map(({ query, duplicateId }) => `${query.name} ${duplicateId}`);
    };
    const plain = await order("--no_shuffle");
    assert.deepEqual(plain.slice(19, 21), ["a.png 19", "ж.png 0"]);
    const shuffled = await order();
    assert.deepEqual(shuffled.toSorted(), plain.toSorted());
    assert.deepEqual(await order("--seed", "42"), shuffled);
    assert.notDeepEqual(await order("--seed", "43"), shuffled);
    assert.notDeepEqual(shuffled, plain);
  });
});

Deno.test("merge --check lists bad pictures and writes nothing", async () => {
  await inFolder(async (folder, run) => {
    const args = ["--source", `a=${join(folder, "pairs.json")},${folder},20`, "--check"];
    await Deno.mkdir(join(folder, "drone"));
    await Deno.mkdir(join(folder, "tiles"));
    const create = { width: 3, height: 2, channels: 3, background: "red" } as const;
    await sharp({ create }).png().toFile(join(folder, "drone/a.png"));
    await sharp({ create }).png().toFile(join(folder, "tiles/b.png"));
    await assert.rejects(run(...args), (error: Error & { printed: string }) => {
      assert.equal(error.message, "Cannot merge: 1 of 3 pictures are missing or damaged");
      assert.equal(error.printed, `Cannot read ${join(folder, "drone/ж.png")}: no such file`);
      return true;
    });
    await assert.rejects(Deno.stat(join(folder, "merged.json")), Deno.errors.NotFound);

    await sharp({ create }).png().toFile(join(folder, "drone/ж.png"));
    await run(...args);
    assert.ok((await Deno.stat(join(folder, "merged.json"))).isFile);
  });
});

Deno.test("merge refuses what it cannot merge, in words", async () => {
  await inFolder(async (folder, run) => {
    const json = join(folder, "pairs.json");
    const refusals: [args: string[], message: string][] = [
      [[], "Cannot merge: no pairs file is given, expected --gta_json or another"],
      [["--gta_json", json], "Cannot merge gta: --gta_json is given but --gta_root is missing"],
      [
        ["--vpair_root", folder],
        "Cannot merge vpair: --vpair_root is given but --vpair_json is missing",
      ],
      [
        ["--source", `${json},${folder}`],
        `Cannot merge: --source must be NAME=JSON,ROOT,MULTIPLIER,ALTITUDE: got "${json},${folder}"`,
      ],
      [
        ["--source", `overall=${json},${folder}`],
        'Cannot merge: source name is "overall", expected 1 to 64 characters, no slash, and not "overall"',
      ],
      [
        ["--source", `gta=${json},${folder}`, "--gta_json", json, "--gta_root", folder],
        'Cannot merge: source "gta" is given twice',
      ],
    ];
    for (const [args, message] of refusals) {
      await assert.rejects(run(...args), (error: Error) => {
        assert.ok(error instanceof UsageError, String(error));
        assert.equal(error.message, message);
        return true;
      });
    }
    for (const tail of [",0", ",1,0", ",1,-3", ",1.5", ",1,2,3"]) {
      await assert.rejects(run("--source", `a=${json},${folder}${tail}`), UsageError, tail);
    }
    // 2 entries of some 360 bytes; to copy them a million times would exhaust the memory.
    await assert.rejects(
      run("--gta_json", json, "--gta_root", folder, "--gta_multiplier", "1000000"),
      /^RangeError: Cannot write .*merged\.json: it would have \d{9} bytes, at most 268435456 can/,
    );
    const nowhere = join(folder, "none");
    await assert.rejects(run("--gta_json", json, "--gta_root", nowhere), {
      message: `Cannot merge ${json}: its root "${nowhere}" is not a folder`,
    });
    await Deno.writeTextFile(json, JSON.stringify([{ ...ENTRY, sate_img_dir: ".." }]));
    const outside = ["--gta_json", json, "--gta_root", folder];
    await assert.rejects(
      run(...outside),
      /entry 0: "pair_pos_sate_img_list": "b.png" in "\.\."/,
    );
    await run(...outside, "--allow_outside_root");
  });
});
