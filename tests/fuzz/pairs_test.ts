import assert from "node:assert/strict";
import { posix, win32 } from "node:path";
import { type Entry, pairsOf, parseEntries, type Picture, picturePath } from "../../data/pairs.ts";
import { type Choices, fuzz, jsonText, mutateBytes, mutateJson, TEXTS } from "./fuzz.ts";

const ENTRY = {
  dataset_source: "VisLoc",
  data_root: "/data/visloc",
  altitude_meters: 412.5,
  duplicate_id: 1,
  drone_img_dir: "drone/images",
  drone_img_name: "01_0001.JPG",
  drone_loc_lat_lon: [32.1, 119.9],
  sate_img_dir: "satellite",
  pair_pos_sate_img_list: ["1_0_0.png", "1_0_1.png"],
  pair_pos_sate_weight_list: [0.7, 0.6],
  pair_pos_sate_loc_lat_lon_list: [[32.1, 119.9], [32.2, 119.8]],
  pair_pos_semipos_sate_img_list: ["1_0_0.png", "1_1_1.png"],
  pair_pos_semipos_sate_weight_list: [0.7, 0.3],
};
const PLAIN = {
  drone_img_dir: "drone",
  drone_img_name: "a.png",
  drone_loc_x_y: [100.5, 200.25],
  sate_img_dir: "satellite/tiles",
  pair_pos_sate_img_list: ["t.png"],
  pair_pos_sate_loc_x_y_list: [[101, 199]],
};

function damagedText(choices: Choices): string {
  const entries = [ENTRY, PLAIN];
  if (choices.below(3) === 0) {
    const bytes = mutateBytes(choices, new TextEncoder().encode(JSON.stringify(entries)));
    return new TextDecoder().decode(bytes);
  }
  if (choices.below(3) === 0) { // paths that try to get out
    const text = choices.of(TEXTS);
    const key = choices.of(["drone_img_dir", "drone_img_name", "sate_img_dir"]);
    return jsonText([{ ...ENTRY, [key]: choices.of([text, `x/${text}`, `${text}/x`]) }]);
  }
  if (choices.below(100) === 0) { // deeper than recursion can follow
    const deep = "[".repeat(50_000) + "]".repeat(50_000);
    return choices.of([deep, JSON.stringify([ENTRY, PLAIN]).replace("[100.5,200.25]", deep)]);
  }
  return jsonText(mutateJson(choices, entries));
}

/** Whether a picture is below its root on a machine with these rules. */
function isInside({ resolve, relative, isAbsolute }: typeof posix, picture: Picture): boolean {
  const { root, folder, name } = picture;
  const way = relative(resolve(root), resolve(root, folder || ".", name));
  return !isAbsolute(way) && way.split(/[/\\]/)[0] !== "..";
}

function confirm(entries: Entry[]): void {
  for (const { query, references, location, altitudeMeters, duplicateId, source } of entries) {
    const names = references.map(({ picture }) => `${picture.folder}/${picture.name}`);
    assert.equal(new Set(names).size, names.length, "a reference is there twice");
    for (const picture of [query, ...references.map(({ picture }) => picture)]) {
      const { root, folder, name } = picture;
      assert(name.length > 0);
      assert(!/\p{Cc}/u.test(root + folder + name), "a control character");
      assert(picturePath(picture).startsWith(posix.normalize(root).replace(/\/$/, "")));
      for (const rules of [posix, win32]) {
        assert(isInside(rules, picture), `${folder}, ${name} leaves ${root}`);
      }
    }
    for (const { weight } of references) assert(weight >= 0 && weight < Infinity);
    for (const place of [location, ...references.map((reference) => reference.location)]) {
      if (place?.unit === "degrees") {
        assert(Math.abs(place.lat) <= 90 && Math.abs(place.lon) <= 180);
      } else if (place) assert(Number.isFinite(place.x) && Number.isFinite(place.y));
    }
    assert(altitudeMeters === null || (altitudeMeters > 0 && Number.isFinite(altitudeMeters)));
    assert(Number.isSafeInteger(duplicateId) && duplicateId >= 0);
    assert(source.length > 0 && !/[/\\]/.test(source));
  }
  const count = entries.reduce((sum, { references }) => sum + references.length, 0);
  assert.equal(pairsOf(entries, "pos_semipos").length, count);
}

Deno.test("parseEntries() refuses damaged pairs files, or gives pictures inside their roots", () =>
  fuzz<Entry[]>({
    cases: 6000,
    cap: 2 ** 20,
    make(choices) {
      const text = damagedText(choices);
      const options = { path: "pairs.json", dataRoot: "/data/root" };
      return { input: text, run: () => parseEntries(text, options), confirm };
    },
  }));

Deno.test("parseEntries() takes paths out of the root only where that is allowed", () => {
  for (
    const name of ["../../etc/passwd", "/etc/passwd", "C:\\x.png", "\\\\host\\x.png", "a/../../b"]
  ) {
    const text = JSON.stringify([{ ...ENTRY, drone_img_name: name, drone_img_dir: "" }]);
    assert.throws(() => parseEntries(text, { path: "p" }), { message: /--allow_outside_root/ });
    const [entry] = parseEntries(text, { path: "p", allowOutsideRoot: true });
    assert.equal(entry!.query.name, name.replaceAll("\\", "/"));
  }
});
