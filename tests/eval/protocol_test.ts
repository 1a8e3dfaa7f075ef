import assert from "node:assert/strict";
import { type Entry, parseEntries, pictureKey, picturePath } from "../../data/pairs.ts";
import { buildProtocol, type ProtocolOptions } from "../../eval/protocol.ts";
import { sharedPath } from "../testing.ts";

const TEXT = JSON.stringify([
  raw("a.jpg", { pos: ["1.png"], semi: ["1.png", "2.png"] }),
  raw("b.jpg", { pos: [], semi: ["3.png"] }),
  raw("a.jpg", { pos: ["4.png"], semi: ["4.png", "1.png"], duplicate_id: 1 }),
  // The same names in another data set are other pictures.
  raw("a.jpg", { pos: ["1.png"], semi: ["1.png"], data_root: "other", dataset_source: "vpair" }),
]);

function raw(
  name: string,
  { pos, semi, ...rest }: { pos: string[]; semi: string[]; [key: string]: unknown },
) {
  const at = (names: string[]) => names.map((tile) => [100 * parseInt(tile), 0.5]);
  return {
    dataset_source: "visloc",
    drone_img_dir: "drone",
    drone_img_name: name,
    drone_loc_x_y: [150, 200],
    sate_img_dir: "tiles",
    pair_pos_sate_img_list: pos,
    pair_pos_sate_loc_x_y_list: at(pos),
    pair_pos_semipos_sate_img_list: semi,
    pair_pos_semipos_sate_loc_x_y_list: at(semi),
    ...rest,
  };
}

const ENTRIES = parseEntries(TEXT, { path: "test.json", dataRoot: "root" });
const paths = (items: readonly { picture: Entry["query"] }[]) =>
  items.map(({ picture }) => picturePath(picture));

Deno.test("buildProtocol() takes each picture once, positives of all its entries, and counts the rest", () => {
  const protocol = buildProtocol(ENTRIES, { evalMode: "pos" });
  assert.deepEqual(paths(protocol.queries), ["root/drone/a.jpg", "other/drone/a.jpg"]);
  assert.deepEqual(paths(protocol.gallery), [
    ...["1.png", "2.png", "3.png", "4.png"].map((name) => `root/tiles/${name}`),
    "other/tiles/1.png",
  ]);
  assert.deepEqual(protocol.truths, [
    { positives: [0, 3], semiPositives: [1] },
    { positives: [4], semiPositives: [] },
  ]);
  assert.deepEqual([...protocol.skipped], [["visloc", 1], ["vpair", 0]]);
  assert.deepEqual(protocol.queries.map(({ source }) => source), ["visloc", "vpair"]);
  assert.deepEqual(protocol.gallery[3]!.location, { unit: "metres", x: 400, y: 0.5 });
  assert.equal(protocol.maps, null);
});

Deno.test("buildProtocol() takes a tile's place from whichever entry tells it", () => {
  const [first, ...others] = ENTRIES;
  const references = first!.references.map((reference) => ({ ...reference, location: null }));
  const silent = { ...first!, references };
  const { gallery } = buildProtocol([silent, ...others, silent], { evalMode: "pos" });
  assert.deepEqual(gallery[0]!.location, { unit: "metres", x: 100, y: 0.5 });
  assert.equal(gallery[1]!.location, null); // of which no other entry tells
});

Deno.test("buildProtocol() lets semi-positives count with pos_semipos", () => {
  const protocol = buildProtocol(ENTRIES, { evalMode: "pos_semipos" });
  assert.equal(protocol.evalMode, "pos_semipos");
  assert.deepEqual(protocol.truths, [
    { positives: [0, 1, 3], semiPositives: [] },
    { positives: [2], semiPositives: [] },
    { positives: [4], semiPositives: [] },
  ]);
  assert.deepEqual([...protocol.skipped.values()], [0, 0]);
});

Deno.test("buildProtocol() takes a query's location from whichever entry has it", () => {
  const without = raw("a.jpg", { pos: ["1.png"], semi: ["1.png"], drone_loc_x_y: null });
  const entries = [without, { ...without, drone_loc_x_y: [3, 4] as [number, number] }, without];
  const text = JSON.stringify(entries.map((entry, i) => ({ ...entry, duplicate_id: i })));
  const parsed = parseEntries(text, { path: "test.json", dataRoot: "root" });
  const { queries } = buildProtocol(parsed, { evalMode: "pos" });
  assert.deepEqual(queries.map(({ location }) => location), [{ unit: "metres", x: 3, y: 4 }]);
});

Deno.test("buildProtocol() lists folders with places that the file or a proven rule tells", () => {
  const gta = parseEntries(
    JSON.stringify([raw("a.jpg", {
      pos: ["4_0_6_13.png"],
      semi: ["4_0_6_13.png"],
      pair_pos_sate_loc_x_y_list: [[4493.3, 9331.2]], // 0.5 m from where the rule has it
      pair_pos_semipos_sate_loc_x_y_list: [[4493.3, 9331.2]],
    })]),
    { path: "test.json", dataRoot: "root" },
  );
  const options: ProtocolOptions = {
    evalMode: "pos",
    gallery: "folder",
    listFolder: (path) => {
      assert.equal(path.replaceAll("\\", "/").replace(/\/$/, ""), "root/tiles");
      return ["4_0_0_0.png", "4_0_6_13.png", "extra.png"];
    },
  };
  const protocol = buildProtocol(gta, options);
  assert.deepEqual(paths(protocol.gallery), [
    "root/tiles/4_0_0_0.png",
    "root/tiles/4_0_6_13.png",
    "root/tiles/extra.png",
  ]);
  assert.deepEqual(protocol.gallery.map(({ location }) => location), [
    { unit: "metres", x: 345.6, y: 345.6 },
    { unit: "metres", x: 4493.3, y: 9331.2 },
    null,
  ]);
  assert.deepEqual(protocol.truths, [{ positives: [1], semiPositives: [] }]);
});

Deno.test("buildProtocol() refuses a folder without a listed reference", () => {
  const listFolder = (path: string) => path.startsWith("other") ? ["1.png"] : ["1.png", "3.png"];
  assert.throws(
    () => buildProtocol(ENTRIES, { evalMode: "pos", gallery: "folder", listFolder }),
    /gallery folder root.tiles.*: it lacks 2 of the 4 references.*first "2.png"/,
  );
});

Deno.test("buildProtocol() refuses a test set without any positive", () => {
  const entries = ENTRIES.filter(({ query }) => query.name === "b.jpg");
  assert.throws(() => buildProtocol(entries, { evalMode: "pos" }), {
    name: "RangeError",
    message: /none of the 1 entries has a positive with eval mode pos/,
  });
  assert.equal(buildProtocol(entries, { evalMode: "pos_semipos" }).queries.length, 1);
});

Deno.test('buildProtocol() refuses a source called "overall"', () => {
  const entries = ENTRIES.map((entry) => ({ ...entry, source: "overall" }));
  assert.throws(() => buildProtocol(entries, { evalMode: "pos" }), /"overall"/);
});

const SENECA = sharedPath("data/seneca");

Deno.test({
  name: "buildProtocol() reads the test area of Seneca",
  ignore: SENECA === null,
  fn: () => {
    const path = `${SENECA}/cross-area-drone2drone-test.json`;
    const entries = parseEntries(Deno.readTextFileSync(path), { path, dataRoot: SENECA! });
    const listed = buildProtocol(entries, { evalMode: "pos_semipos", sameMap: true });
    assert.deepEqual([listed.queries.length, listed.gallery.length], [43, 40]);
    assert.equal(listed.maps?.length, 1); // all names begin with IMG_
    const all = buildProtocol(entries, { evalMode: "pos_semipos", gallery: "folder" });
    assert.equal(all.gallery.length, 84); // those of the training area too
    const keyOf = (protocol: typeof all, j: number) => pictureKey(protocol.gallery[j]!.picture);
    all.truths.forEach(({ positives }, q) => {
      const expected = listed.truths[q]!.positives.map((j) => keyOf(listed, j));
      assert.deepEqual(positives.map((j) => keyOf(all, j)), expected);
    });
  },
});

Deno.test("buildProtocol() counts every query of a source that it leaves out", () => {
  const without = (name: string) => raw(name, { pos: [], semi: ["3.png"] });
  const found = raw("c.jpg", { pos: ["1.png"], semi: ["1.png"] });
  const text = JSON.stringify([without("a.jpg"), without("b.jpg"), found]);
  const entries = parseEntries(text, { path: "test.json", dataRoot: "root" });
  assert.deepEqual([...buildProtocol(entries, { evalMode: "pos" }).skipped], [["visloc", 2]]);
});

Deno.test("buildProtocol() refuses a folder that lacks a single reference", () => {
  const listFolder = (path: string) =>
    path.startsWith("other") ? ["1.png"] : ["1.png", "3.png", "4.png"];
  assert.throws(
    () => buildProtocol(ENTRIES, { evalMode: "pos", gallery: "folder", listFolder }),
    /gallery folder root.tiles.*: it lacks 1 of the 4 references.*first "2.png"/,
  );
});
