import assert from "node:assert/strict";
import { isAbsolute, join, relative } from "node:path";
import {
  type Entry,
  MAX_PAIRS_BYTES,
  parseEntries,
  picturePath,
  readPairsText,
} from "../../data/pairs.ts";
import { counterRandom } from "../../data/random.ts";
import { GTA, parse, SMALL } from "./entries.ts";

const REFUSED: [entry: Record<string, unknown>, message: string][] = [
  [{ drone_img_name: undefined }, '"drone_img_name" is missing, expected string'],
  [{ drone_img_name: "" }, '"drone_img_name" is "", expected string to have >=1 characters'],
  [
    { pair_pos_sate_img_list: ["t.png", 7] },
    '"pair_pos_sate_img_list.1" is 7, expected string',
  ],
  [
    { pair_pos_sate_weight_list: [0.1, 0.2] },
    '"pair_pos_sate_weight_list" has 2 values for 1 pictures',
  ],
  [
    { pair_pos_semipos_sate_loc_lat_lon_list: [[1, 2]] },
    '"pair_pos_semipos_sate_loc_lat_lon_list" has 1 values for 0 pictures',
  ],
  [
    { pair_pos_sate_weight_list: [null] },
    '"pair_pos_sate_weight_list.0" is null, expected number',
  ],
  [
    { pair_pos_sate_weight_list: [-0.5] },
    '"pair_pos_sate_weight_list.0" is -0.5, expected number to be >=0',
  ],
  [
    { pair_pos_sate_weight_list: "INFINITE" },
    '"pair_pos_sate_weight_list.0" is Infinity, expected number',
  ],
  [{ drone_loc_x_y: [1] }, '"drone_loc_x_y" is [1], expected array to have >=2 items'],
  [
    { drone_loc_lat_lon: [7, 46], pair_pos_sate_loc_lat_lon_list: [[46.01, 7]] },
    '"drone_loc_lat_lon" is [7,46], expected latitude before longitude, as in the lists of ' +
    "its references",
  ],
  [
    { drone_loc_lat_lon: [95, 7] },
    '"drone_loc_lat_lon.0" is 95, expected a latitude from -90 to 90, then the longitude',
  ],
  [{ altitude_meters: 0 }, '"altitude_meters" is 0, expected number to be >0'],
  [{ duplicate_id: 1.5 }, '"duplicate_id" is 1.5, expected int'],
  [
    { dataset_source: "../x" },
    '"dataset_source" is "../x", expected 1 to 64 characters, no slash, and not "overall"',
  ],
  [
    { dataset_source: "Overall" },
    '"dataset_source" is "Overall", expected 1 to 64 characters, no slash, and not "overall"',
  ],
  [
    { drone_img_name: ["x".repeat(70)] },
    `"drone_img_name" is ["${"x".repeat(58)}..., expected string`,
  ],
  [
    { drone_img_name: "a\u0000b" },
    '"drone_img_name": {"root":"/data/GTA","folder":"drone","name":"a\\u0000b"} ' +
    "holds control characters, expected a path",
  ],
];
for (const [change, message] of REFUSED) {
  Deno.test(`parseEntries() refuses ${JSON.stringify(change).slice(0, 70)}`, () => {
    // JSON has no infinity, but a number may be too large for a double.
    const text = JSON.stringify([SMALL, { ...SMALL, ...change }]).replace('"INFINITE"', "[1e999]");
    assert.throws(() => parse(text), {
      name: "TypeError",
      message: `Cannot parse a.json: entry 1: ${message}`,
    });
  });
}

Deno.test("parseEntries() refuses what is no array of entries, in one line", () => {
  assert.throws(() => parse('["a", b\n\n]'), (error: Error) => {
    assert.ok(error instanceof SyntaxError);
    assert.match(error.message, /^Cannot parse a\.json: .+$/); // the dot matches no line end
    return true;
  });
  assert.throws(() => parse({ entries: [] }), {
    name: "TypeError",
    message: 'Cannot parse a.json: it is {"entries":[]}, expected an array of entries',
  });
  assert.throws(() => parse([null]), {
    name: "TypeError",
    message: "Cannot parse a.json: entry 0: it is null, expected object",
  });
  assert.throws(() => parseEntries(JSON.stringify([SMALL]), { path: "a.json" }), {
    name: "TypeError",
    message: 'Cannot parse a.json: entry 0: "data_root" is missing, and no --data_root is given',
  });
  assert.throws(() => parse(" ".repeat(MAX_PAIRS_BYTES + 1)), {
    name: "RangeError",
    message: "Cannot read a.json: 268435457 bytes, at most 268435456 are read",
  });
});

const OUTSIDE: [folder: string, name: string][] = [
  ["drone", "../../etc/passwd"],
  ["..", "a.png"],
  ["drone/../..", "x/y/z.png"],
  ["/etc", "passwd"],
  ["drone", "/etc/passwd"],
  ["drone", "..\\..\\secret"],
  ["drone", "\\secret"],
  ["C:\\Windows", "a.png"],
  ["", ".."],
];
for (const [folder, name] of OUTSIDE) {
  Deno.test(`parseEntries() refuses ${JSON.stringify(name)} in ${JSON.stringify(folder)}`, () => {
    const [inFolder, called] = [folder, name].map((path) => path.replaceAll("\\", "/"));
    const found = `${JSON.stringify(called)} in ${JSON.stringify(inFolder)}`;
    const wanted = "expected a relative path within it (or --allow_outside_root)";
    const query = [{ ...SMALL, drone_img_dir: folder, drone_img_name: name }];
    assert.throws(() => parse(query), {
      name: "TypeError",
      message: `Cannot parse a.json: entry 0: "drone_img_name": ${found} ` +
        `is not inside the data root, ${wanted}`,
    });
    assert.equal(parse(query, { allowOutsideRoot: true })[0]!.query.name, called);

    const reference = [{
      ...SMALL,
      sate_img_dir: folder,
      pair_pos_semipos_sate_img_list: ["ok.png", name],
      pair_pos_sate_img_list: [],
    }];
    assert.throws(() => parse(reference), /"pair_pos_semipos_sate_img_list": .* not inside/);
  });
}

Deno.test("parseEntries() accepts odd paths that stay inside the root", () => {
  for (const [folder, name] of [["", "a.png"], ["a/..", "b"], ["a", "../b"], ["..a", "..b"]]) {
    const [entry] = parse([{ ...SMALL, drone_img_dir: folder, drone_img_name: name }]);
    assert.equal(entry!.query.name, name);
  }
});

Deno.test("readPairsText() names the file it cannot read", async () => {
  const folder = await Deno.makeTempDir();
  try {
    const path = join(folder, "é.json");
    await Deno.writeTextFile(path, '["ж"]');
    assert.equal(await readPairsText(path), '["ж"]');
    await Deno.writeFile(path, new Uint8Array([0x5b, 0xff, 0x5d]));
    await assert.rejects(readPairsText(path), {
      name: "SyntaxError",
      message: `Cannot parse ${path}: it is not UTF-8 text`,
    });
    await Deno.truncate(path, MAX_PAIRS_BYTES + 1); // sparse: takes no room on the disk
    await assert.rejects(readPairsText(path), {
      name: "RangeError",
      message: `Cannot read ${path}: 268435457 bytes, at most 268435456 are read`,
    });
    await assert.rejects(readPairsText(folder), {
      message: `Cannot read ${folder}: it is not a file`,
    });
    const missing = join(folder, "none.json");
    await assert.rejects(readPairsText(missing), {
      message: `Cannot read ${missing}: no such file`,
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("parseEntries() never lets a damaged file pass silently", () => {
  const good = JSON.stringify([GTA, { ...SMALL, drone_loc_lat_lon: [1, 2], data_root: "r" }]);
  const random = counterRandom(7);
  const draw = (n: number) => Math.floor(random() * n);
  const pieces = [
    "null",
    "[]",
    "{}",
    '""',
    "-1e999",
    "1",
    '"../../x"',
    ",",
    "]",
    "\\u0000",
    "9".repeat(400),
  ];
  let refused = 0;
  for (let round = 0; round < 3000; round++) {
    let text = good;
    for (let change = 0; change <= draw(3); change++) {
      const start = draw(text.length);
      const end = Math.min(start + draw(20), text.length);
      text = text.slice(0, start) + (draw(2) ? pieces[draw(pieces.length)] : "") + text.slice(end);
    }
    let entries: Entry[];
    try {
      entries = parse(text);
    } catch (error) {
      refused++;
      assert.ok(error instanceof SyntaxError || error instanceof TypeError, String(error));
      assert.match((error as Error).message, /^Cannot parse a\.json: .{1,300}$/u, text);
      continue;
    }
    for (const { query, location, references } of entries) {
      for (const { weight } of references) assert.ok(Number.isFinite(weight), text);
      for (const place of [location, ...references.map((reference) => reference.location)]) {
        if (place === null) continue;
        const values = place.unit === "metres" ? [place.x, place.y] : [place.lat, place.lon];
        assert.ok(values.every(Number.isFinite), text);
      }
      for (const picture of [query, ...references.map((reference) => reference.picture)]) {
        const path = relative(picture.root, picturePath(picture));
        assert.ok(!isAbsolute(path) && path.split("/")[0] !== "..", text);
      }
    }
  }
  assert.ok(refused > 2000 && refused < 3000, `${refused} of 3000 were refused`);
});

Deno.test("parseEntries() refuses a line break in a path", () => {
  assert.throws(() => parse([{ ...SMALL, drone_img_name: "a\nb.png" }]), {
    name: "TypeError",
    message: /holds control characters, expected a path$/,
  });
});
