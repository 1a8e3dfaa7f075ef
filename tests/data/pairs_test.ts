import assert from "node:assert/strict";
import { basename, join } from "node:path";
import { pairsOf, parseEntries, pictureKey, picturePath, readPairsText } from "../../data/pairs.ts";
import { sharedPath } from "../testing.ts";
import { GTA, parse, SMALL } from "./entries.ts";

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
  // One camera without a position, or one reference far away, makes no metres of degrees.
  const good = at("vpair", [50.3, 7.1], [50.3005, 7.1004]);
  for (const bad of [at("vpair", [0, 0], [50.3, 7.1]), at("vpair", [50.3, 7.1], [50.3, 7.3])]) {
    assert.deepEqual(units(good, bad, good), ["degrees", "degrees", "degrees"]);
    assert.deepEqual(units(good, bad), ["metres", "metres"]);
  }
  const still = at("lab", [100, 20], [100, 20]); // no degrees the wrong way round: the others tell
  assert.deepEqual(units(still, at("lab", [10, 20], [14, 17])), ["metres", "metres"]);
  // A small site in metres: in the range of degrees, but references lie metres away.
  assert.deepEqual(units(at("lab", [10, 20], [14, 17])), ["metres"]);
  assert.deepEqual(units(at("lab", [10, 20], [14, 20])), ["metres"]);
  assert.deepEqual(units(at("fiji", [-17, 179.99], [-17, -179.99])), ["degrees"]); // date line
  assert.deepEqual(units(at("map", [91, 0], [91, 3])), ["metres"]);
  assert.deepEqual(units(at("map", [91, 0], [91, 0]), at("map", [900, 0], [900, 3])), [
    ...["metres", "metres"],
  ]);
  for (const others of [[], [at("visloc", [32.3, 119.8], [32.3005, 119.8])]]) {
    assert.throws(() => units(...others, at("visloc", [119.8, 32.3], [119.8, 32.3005])), {
      name: "TypeError",
      message: `Cannot parse a.json: entry ${others.length}: "drone_loc_x_y" is [119.8,32.3], ` +
        "expected latitude before longitude",
    });
  }
  assert.deepEqual(units(at("map", [0, 181], [0, 181])), ["metres"]);
  assert.deepEqual(parse([at("vpair", [50.3, 7.1], [50.3, 7.1])])[0]!.location, {
    unit: "degrees",
    lat: 50.3,
    lon: 7.1,
  });
});

Deno.test("parseEntries() takes the paths of Windows for what they are", async () => {
  const root = await Deno.makeTempDir();
  try {
    await Deno.mkdir(join(root, "drone", "sub"), { recursive: true });
    await Deno.writeTextFile(join(root, "drone", "sub", "a.jpg"), "");
    const [entry] = parse([{
      ...SMALL,
      drone_img_dir: "drone\\",
      drone_img_name: "sub\\a.jpg",
      sate_img_dir: "tiles\\z",
      pair_pos_sate_img_list: ["x\\t.png"],
      pair_pos_semipos_sate_img_list: ["x/t.png", "y\\t.png"],
    }], { dataRoot: root });
    const { query, references } = entry!;
    assert.deepEqual(query, { root, folder: "drone", name: "sub/a.jpg" });
    assert((await Deno.stat(picturePath(query))).isFile);
    assert.deepEqual(references.map(({ picture: { folder, name } }) => `${folder}/${name}`), [
      "tiles/z/x/t.png",
      "tiles/z/y/t.png",
    ]);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
});

Deno.test("parseEntries() knows a picture by any spelling of its path", () => {
  const entries = ["tiles", "./tiles", "tiles//", "a/../tiles/."].map((dir) => ({
    ...SMALL,
    ...{ sate_img_dir: dir, pair_pos_sate_img_list: ["./x.png"] },
  }));
  const pictures = parse(entries).flatMap(({ references }) => references.map((r) => r.picture));
  assert.equal(new Set(pictures).size, 1);
  const { folder, name } = pictures[0]!;
  assert.deepEqual([folder, name], ["tiles", "./x.png"]); // the first spelling
  const here = parse(["", ".", "./"].map((dir) => ({ ...SMALL, drone_img_dir: dir })));
  assert.equal(new Set(here.map(({ query }) => query)).size, 1);
});

Deno.test("parseEntries() ignores unknown keys, also those that name a prototype", () => {
  const text = JSON.stringify([SMALL]).replace(
    "{",
    '{"__proto__": {"altitude_meters": 5}, "constructor": 1, "drone_img_desc": "a field",',
  );
  assert.deepEqual(parse(text), parse([SMALL]));
  assert.equal(parse(text)[0]!.altitudeMeters, null);
  assert.throws(() => parse(`[{"__proto__": ${JSON.stringify(SMALL)}}]`), {
    message: 'Cannot parse a.json: entry 0: "drone_img_dir" is missing, expected string',
  });
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

Deno.test("parseEntries() keeps a weight of 0", () => {
  const [entry] = parse([{ ...SMALL, pair_pos_sate_weight_list: [0] }]);
  assert.equal(entry!.references[0]!.weight, 0);
});

Deno.test("parseEntries() prefers places in degrees to those under x_y", () => {
  const [entry] = parse([{ ...GTA, drone_loc_lat_lon: [46.5, 7.25] }]);
  assert.deepEqual(entry!.location, { unit: "degrees", lat: 46.5, lon: 7.25 });
});

Deno.test("parseEntries() takes one far reference for metres, though others are near", () => {
  const [entry] = parse([{
    ...SMALL,
    drone_loc_x_y: [10, 20], // of a small site, in the middle of its first tile
    pair_pos_sate_img_list: ["t.png", "u.png"],
    pair_pos_sate_loc_x_y_list: [[10, 20], [14, 20]],
  }]);
  assert.deepEqual(entry!.location, { unit: "metres", x: 10, y: 20 });
});

Deno.test("parseEntries() names the source of a relative root by its folder, and keeps /", () => {
  const [here] = parse([SMALL], { dataRoot: "." });
  assert.equal(here!.source, basename(Deno.cwd()).toLowerCase());
  const [top] = parse([SMALL], { dataRoot: "/" });
  assert.equal(top!.query.root, "/");
});

Deno.test({
  name: "readPairsText() refuses a device, which may have no end",
  ignore: Deno.build.os === "windows",
  fn: () => assert.rejects(readPairsText("/dev/null"), /Cannot read .*null: it is not a file$/),
});
