import assert from "node:assert/strict";
import { isAbsolute, join, relative } from "node:path";
import {
  type Entry,
  MAX_PAIRS_BYTES,
  pairsOf,
  parseEntries,
  type ParseOptions,
  pictureKey,
  picturePath,
  readPairsText,
} from "../../data/pairs.ts";
import { counterRandom } from "../../data/random.ts";
import { sharedPath } from "../testing.ts";

/** The README's example of GTA-UAV, shortened. */
const GTA = {
  drone_img_dir: "drone/images",
  drone_img_name: "500_0001_0000025682.png",
  drone_loc_x_y: [4472.2, 9460.92],
  sate_img_dir: "satellite",
  pair_pos_sate_img_list: ["4_0_6_13.png"],
  pair_pos_sate_weight_list: [0.47],
  pair_pos_sate_loc_x_y_list: [[4492.8, 9331.2]],
  pair_pos_semipos_sate_img_list: ["4_0_6_14.png", "4_0_6_13.png"],
  pair_pos_semipos_sate_weight_list: [0.28, 0.47],
  pair_pos_semipos_sate_loc_x_y_list: [[4492.8, 10022.4], [4492.8, 9331.2]],
  drone_metadata: { height: 494.7, cam_roll: -90.27 },
};
/** Smallest entry there is. */
const SMALL = {
  drone_img_dir: "drone",
  drone_img_name: "a.png",
  sate_img_dir: "satellite",
  pair_pos_sate_img_list: ["t.png"],
};

function parse(entries: unknown, options: Partial<ParseOptions> = {}): Entry[] {
  const text = typeof entries === "string" ? entries : JSON.stringify(entries);
  return parseEntries(text, { path: "a.json", dataRoot: "/data/GTA", ...options });
}

Deno.test("parseEntries() reads an entry of GTA-UAV", () => {
  const picture = (folder: string, name: string) => ({ root: "/data/GTA", folder, name });
  assert.deepEqual(parse([GTA]), [{
    index: 0,
    source: "gta",
    query: picture("drone/images", "500_0001_0000025682.png"),
    location: { unit: "metres", x: 4472.2, y: 9460.92 },
    references: [
      {
        picture: picture("satellite", "4_0_6_13.png"),
        weight: 0.47,
        location: { unit: "metres", x: 4492.8, y: 9331.2 },
        positive: true,
      },
      {
        picture: picture("satellite", "4_0_6_14.png"),
        weight: 0.28,
        location: { unit: "metres", x: 4492.8, y: 10022.4 },
        positive: false,
      },
    ],
    altitudeMeters: null,
    duplicateId: 0,
  }]);
});

Deno.test("parseEntries() reads an entry of UAV-VisLoc after a merge", () => {
  const [entry] = parse([{
    ...SMALL,
    drone_loc_lat_lon: [29.7, 115.9],
    pair_pos_sate_loc_lat_lon_list: [[29.8, 116]],
    pair_pos_semipos_sate_img_list: ["t.png", "u.png"],
    pair_pos_semipos_sate_loc_lat_lon_list: [[29.8, 116], [29.6, 115]],
    drone_metadata: { height: null },
    dataset_source: "visloc",
    data_root: "/data/visloc/",
    altitude_meters: 400,
    duplicate_id: 3,
  }]);
  assert.equal(entry!.source, "visloc");
  assert.deepEqual(entry!.query, { root: "/data/visloc", folder: "drone", name: "a.png" });
  assert.deepEqual(entry!.location, { unit: "degrees", lat: 29.7, lon: 115.9 });
  assert.deepEqual(entry!.references.map(({ location }) => location), [
    { unit: "degrees", lat: 29.8, lon: 116 },
    { unit: "degrees", lat: 29.6, lon: 115 },
  ]);
  assert.equal(entry!.altitudeMeters, 400);
  assert.equal(entry!.duplicateId, 3);
});

Deno.test("parseEntries() fills in what a file leaves out", () => {
  const [entry] = parse([SMALL], { dataRoot: "./flights/Seneca" });
  assert.equal(entry!.source, "seneca");
  assert.equal(entry!.location, null);
  assert.deepEqual(entry!.references, [{
    picture: { root: "./flights/Seneca", folder: "satellite", name: "t.png" },
    weight: 1,
    location: null,
    positive: true,
  }]);
  assert.deepEqual(parse([{ ...SMALL, pair_pos_sate_img_list: [] }])[0]!.references, []);
  assert.deepEqual(parse([]), []);
});

Deno.test("parseEntries() puts positives first, each reference once, its own weight with it", () => {
  const [entry] = parse([{
    ...SMALL,
    pair_pos_sate_img_list: ["p", "q", "p"],
    pair_pos_semipos_sate_img_list: ["s", "p", "r", "s"],
    pair_pos_semipos_sate_weight_list: [0.1, 0.2, 0.3, 0.4],
    pair_pos_semipos_sate_loc_lat_lon_list: [[1, 1], [2, 2], [3, 3], [4, 4]],
  }]);
  assert.deepEqual(
    entry!.references.map(({ picture, weight, positive }) => [picture.name, weight, positive]),
    // "q" is in the positives only and has no weight anywhere; "p" has that of the other list.
    [["p", 0.2, true], ["q", 1, true], ["s", 0.1, false], ["r", 0.3, false]],
  );
  const place = (degrees: number) => ({ unit: "degrees", lat: degrees, lon: degrees });
  assert.deepEqual(
    entry!.references.map(({ location }) => location),
    [place(2), null, place(1), place(3)],
  );
});

Deno.test("parseEntries() tells degrees from metres by all values of a source", () => {
  const at = (source: string, query: number[], reference: number[]) => ({
    ...SMALL,
    dataset_source: source,
    drone_loc_x_y: query,
    pair_pos_sate_loc_x_y_list: [reference],
  });
  const units = (...entries: unknown[]) =>
    parse(entries).map(({ location, references }) => {
      assert.equal(location!.unit, references[0]!.location!.unit);
      return location!.unit;
    });
  assert.deepEqual(
    units(
      at("gta", [50.3, 60.25], [50.31, 60.26]), // could be degrees, were it not for the next
      at("gta", [11059, 60], [11000, 30]),
      at("vpair", [50.3, 7.1], [50.3005, 7.1004]),
    ),
    ["metres", "metres", "degrees"],
  );
  // A small site in metres: in the range of degrees, but references lie metres away.
  assert.deepEqual(units(at("lab", [10, 20], [14, 17])), ["metres"]);
  assert.deepEqual(units(at("lab", [10, 20], [14, 20])), ["metres"]);
  assert.deepEqual(units(at("fiji", [-17, 179.99], [-17, -179.99])), ["degrees"]); // date line
  assert.deepEqual(units(at("map", [91, 0], [91, 0])), ["metres"]);
  assert.deepEqual(units(at("map", [0, 181], [0, 181])), ["metres"]);
  assert.deepEqual(parse([at("vpair", [50.3, 7.1], [50.3, 7.1])])[0]!.location, {
    unit: "degrees",
    lat: 50.3,
    lon: 7.1,
  });
});

Deno.test("parseEntries() ignores unknown keys, also those that name a prototype", () => {
  const text = JSON.stringify([SMALL]).replace(
    "{",
    '{"__proto__": {"altitude_meters": 5}, "constructor": 1, "drone_img_desc": "a field",',
  );
  assert.deepEqual(parse(text), parse([SMALL]));
  assert.equal(parse(text)[0]!.altitudeMeters, null);
  assert.throws(() => parse(`[{"__proto__": ${JSON.stringify(SMALL)}}]`), {
    message: 'Cannot parse a.json: entry 0 key "drone_img_dir": is missing, expected string',
  });
});

const REFUSED: [entry: Record<string, unknown>, message: string][] = [
  [{ drone_img_name: undefined }, 'key "drone_img_name": is missing, expected string'],
  [{ drone_img_name: "" }, 'key "drone_img_name": is "", expected string to have >=1 characters'],
  [
    { pair_pos_sate_img_list: ["t.png", 7] },
    'key "pair_pos_sate_img_list": [1] is 7, expected string',
  ],
  [
    { pair_pos_sate_weight_list: [0.1, 0.2] },
    'key "pair_pos_sate_weight_list": has 2 values for 1 pictures',
  ],
  [
    { pair_pos_semipos_sate_loc_lat_lon_list: [[1, 2]] },
    'key "pair_pos_semipos_sate_loc_lat_lon_list": has 1 values for 0 pictures',
  ],
  [
    { pair_pos_sate_weight_list: [null] },
    'key "pair_pos_sate_weight_list": [0] is null, expected number',
  ],
  [
    { pair_pos_sate_weight_list: "INFINITE" },
    'key "pair_pos_sate_weight_list": [0] is Infinity, expected number',
  ],
  [{ drone_loc_x_y: [1] }, 'key "drone_loc_x_y": is [1], expected array to have >=2 items'],
  [
    { drone_loc_lat_lon: [95, 7] },
    'key "drone_loc_lat_lon": [0] is 95, expected number to be <=90',
  ],
  [{ altitude_meters: 0 }, 'key "altitude_meters": is 0, expected number to be >0'],
  [{ duplicate_id: 1.5 }, 'key "duplicate_id": is 1.5, expected int'],
  [
    { dataset_source: "../x" },
    'key "dataset_source": is "../x", expected 1 to 64 characters, no slash, and not "overall"',
  ],
  [
    { dataset_source: "Overall" },
    'key "dataset_source": is "Overall", expected 1 to 64 characters, no slash, and not "overall"',
  ],
  [
    { drone_img_name: ["x".repeat(70)] },
    `key "drone_img_name": is ["${"x".repeat(58)}..., expected string`,
  ],
  [
    { drone_img_name: "a\u0000b" },
    'key "drone_img_name": {"root":"/data/GTA","folder":"drone","name":"a\\u0000b"} ' +
    "holds control characters, expected a path",
  ],
];
for (const [change, message] of REFUSED) {
  Deno.test(`parseEntries() refuses ${JSON.stringify(change).slice(0, 70)}`, () => {
    // JSON has no infinity, but a number may be too large for a double.
    const text = JSON.stringify([SMALL, { ...SMALL, ...change }]).replace('"INFINITE"', "[1e999]");
    assert.throws(() => parse(text), {
      name: "TypeError",
      message: `Cannot parse a.json: entry 1 ${message}`,
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
    message: "Cannot parse a.json: entry 0 is null, expected object",
  });
  assert.throws(() => parseEntries(JSON.stringify([SMALL]), { path: "a.json" }), {
    name: "TypeError",
    message: 'Cannot parse a.json: entry 0 key "data_root": is missing, and no data root is given',
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
  ["C:\\Windows", "a.png"],
  ["", ".."],
];
for (const [folder, name] of OUTSIDE) {
  Deno.test(`parseEntries() refuses ${JSON.stringify(name)} in ${JSON.stringify(folder)}`, () => {
    const found = `${JSON.stringify(name)} in ${JSON.stringify(folder)}`;
    const wanted = "expected a relative path within it (or --allow_outside_root)";
    const query = [{ ...SMALL, drone_img_dir: folder, drone_img_name: name }];
    assert.throws(() => parse(query), {
      name: "TypeError",
      message: `Cannot parse a.json: entry 0 key "drone_img_name": ${found} ` +
        `is not inside the data root, ${wanted}`,
    });
    assert.equal(parse(query, { allowOutsideRoot: true })[0]!.query.name, name);

    const reference = [{
      ...SMALL,
      sate_img_dir: folder,
      pair_pos_semipos_sate_img_list: ["ok.png", name],
      pair_pos_sate_img_list: [],
    }];
    assert.throws(() => parse(reference), /key "pair_pos_semipos_sate_img_list": .* not inside/);
  });
}

Deno.test("parseEntries() accepts odd paths that stay inside the root", () => {
  for (const [folder, name] of [["", "a.png"], ["a/..", "b"], ["a", "../b"], ["..a", "..b"]]) {
    const [entry] = parse([{ ...SMALL, drone_img_dir: folder, drone_img_name: name }]);
    assert.equal(entry!.query.name, name);
  }
});

Deno.test("pictureKey() and picturePath() tell pictures apart by root, folder and name", () => {
  const pictures = [
    { root: "/d", folder: "a", name: "b.png" },
    { root: "/e", folder: "a", name: "b.png" },
    { root: "/d", folder: "c", name: "b.png" },
    { root: "/d/a", folder: "", name: "b.png" }, // the same file, but of another data set
  ];
  assert.equal(new Set(pictures.map(pictureKey)).size, 4);
  assert.equal(picturePath(pictures[0]!), "/d/a/b.png");
  assert.equal(picturePath({ root: "/d", folder: "/x", name: "b" }), "/x/b");
  assert.equal(picturePath({ root: "/d", folder: "a", name: "/y/b" }), "/y/b");
});

Deno.test("pairsOf() makes an edge of each positive, or of each reference", () => {
  const entries = parse([SMALL, { ...GTA, altitude_meters: 120, duplicate_id: 2 }]);
  const semi = pairsOf(entries, "pos_semipos");
  assert.deepEqual(
    semi.map(({ entry, reference, weight }) => [entry, reference.name, weight]),
    [[0, "t.png", 1], [1, "4_0_6_13.png", 0.47], [1, "4_0_6_14.png", 0.28]],
  );
  assert.deepEqual(pairsOf(entries, "pos"), semi.slice(0, 2));
  assert.deepEqual(semi[1], {
    query: entries[1]!.query,
    reference: entries[1]!.references[0]!.picture,
    weight: 0.47,
    source: "gta",
    entry: 1,
    altitudeMeters: 120,
    duplicateId: 2,
  });
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
    await assert.rejects(readPairsText(missing), (error: Error) => {
      assert.ok(error.message.startsWith(`Cannot read ${missing}: ENOENT`), error.message);
      return true;
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

const seneca = sharedPath("data/seneca");
Deno.test({
  name: "parseEntries() reads the flight of Seneca",
  ignore: seneca === null,
  fn: async () => {
    const path = join(seneca!, "cross-area-drone2drone-train.json");
    const entries = parseEntries(await readPairsText(path), { path, dataRoot: seneca! });
    assert.equal(entries.length, 40);
    assert.equal(pairsOf(entries, "pos_semipos").length, 267);
    assert.deepEqual([...new Set(entries.map(({ source }) => source))], ["seneca"]);
    for (const { query, location } of entries) {
      assert.equal(location!.unit, "degrees");
      assert.ok((await Deno.stat(picturePath(query))).isFile);
    }
  },
});
