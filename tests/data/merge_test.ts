import assert from "node:assert/strict";
import { formatObjects, mergeSources, parseObjects } from "../../data/merge.ts";

const source = (
  name: string,
  names: string[],
  multiplier: number,
  altitudeMeters: number | null,
) => ({
  name,
  entries: names.map((drone_img_name) => ({ drone_img_name })),
  root: `/d/${name}`,
  multiplier,
  altitudeMeters,
});
const SOURCES = [
  source("gta", ["g0", "g1"], 1, null),
  source("visloc", ["ж0.JPG", "v1", "v2"], 3, 400),
  source("vpair", ["p0", "p1"], 2, 312.5),
];
const order = (entries: Record<string, unknown>[]) =>
  entries.map(({ drone_img_name, duplicate_id }) => `${drone_img_name} ${duplicate_id}`);

Deno.test("mergeSources() puts the copies of an entry side by side when there is no seed", () => {
  // deno-fmt-ignore
  assert.deepEqual(order(mergeSources(SOURCES, null)), [
    "g0 0", "g1 0", "ж0.JPG 0", "ж0.JPG 1", "ж0.JPG 2", "v1 0", "v1 1", "v1 2",
    "v2 0", "v2 1", "v2 2", "p0 0", "p0 1", "p1 0", "p1 1",
  ]);
});

Deno.test("mergeSources() shuffles as Python does", () => {
  // python3 -c "
  // import random
  // x = ['g0 0', 'g1 0'] + [f'{n} {i}' for n in ('ж0.JPG', 'v1', 'v2') for i in range(3)]
  // x += [f'{n} {i}' for n in ('p0', 'p1') for i in range(2)]
  // random.seed(42); random.shuffle(x); print(x)"
  // deno-fmt-ignore
  assert.deepEqual(order(mergeSources(SOURCES, 42)), [
    "v2 0", "p1 0", "v1 2", "v1 1", "p1 1", "p0 1", "v1 0", "ж0.JPG 0",
    "v2 1", "ж0.JPG 1", "ж0.JPG 2", "p0 0", "g0 0", "g1 0", "v2 2",
  ]);
});

Deno.test("formatObjects() writes the text that Python writes", () => {
  const text = `[{"name": "ж\\u00e9\\n", "loc": [1e-07, -0.0], "none": null, "list": [], "meta":
    {"height": 400.0, "big": 1152921504606846977, "nested": {"a": [[1.5]]}, "__proto__": 2}}]`;
  const entries = parseObjects(text, "a.json");
  const sources = [{ ...SOURCES[1]!, entries, multiplier: 1 }];
  // json.dump(entries, file, indent=2, ensure_ascii=False) after adding the four keys
  const expected = `[
  {
    "name": "жé\\n",
    "loc": [
      1e-07,
      -0.0
    ],
    "none": null,
    "list": [],
    "meta": {
      "height": 400.0,
      "big": 1152921504606846977,
      "nested": {
        "a": [
          [
            1.5
          ]
        ]
      },
      "__proto__": 2
    },
    "dataset_source": "visloc",
    "data_root": "/d/visloc",
    "altitude_meters": 400.0,
    "duplicate_id": 0
  }
]`;
  assert.equal(formatObjects(mergeSources(sources, 42)), expected);
  assert.deepEqual(formatObjects([]), "[]");
});

Deno.test("mergeSources() leaves the altitude out when there is none, and its input alone", () => {
  const before = structuredClone(SOURCES);
  const [gta] = mergeSources(SOURCES, null);
  assert.deepEqual(gta, {
    drone_img_name: "g0",
    dataset_source: "gta",
    data_root: "/d/gta",
    duplicate_id: 0,
  });
  assert.deepEqual(SOURCES, before);
});

Deno.test("parseObjects() refuses a file that is merged already", () => {
  for (const key of ["dataset_source", "data_root", "altitude_meters", "duplicate_id"]) {
    assert.throws(() => parseObjects(`[{}, {"${key}": 0}]`, "a.json"), {
      name: "TypeError",
      message: `Cannot merge a.json: entry 1 already has the key "${key}", ` +
        "expected a file that is not merged yet",
    });
  }
});

Deno.test("mergeSources() shuffles with seed 0 too", () => {
  const entries = Array.from({ length: 20 }, (_, i) => ({ drone_img_name: `${i}` }));
  const sources = [{ name: "gta", entries, root: "/d", multiplier: 1, altitudeMeters: null }];
  assert.notDeepEqual(mergeSources(sources, 0), mergeSources(sources, null));
});
