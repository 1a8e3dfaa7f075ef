import assert from "node:assert/strict";
import { AUGMENT_DEFAULTS, parseAugmentSettings } from "../../data/augment_settings.ts";

Deno.test("AUGMENT_DEFAULTS is the published recipe", () => {
  const { flip, rotate, altitude_crop, real_query, gta_query, gallery } = AUGMENT_DEFAULTS;
  assert.deepEqual([flip.p, rotate.p, altitude_crop], [0.5, 0, null]);
  assert.deepEqual(real_query, {
    low_altitude: { p: 0.85, scale: [0.15, 0.3], jitter: 0.1 },
    center_zoom: { p: 0, scale: [0.25, 0.55] },
    jpeg: { p: 0.5, quality: [85, 100] },
    color_jitter: { p: 0.5, brightness: 0.2, contrast: 0.2, saturation: 0.2, hue: 0.1 },
    filter: { p: 0.3, of: ["blur", "sharpen", "noise"] },
    dropout: { p: 0, of: ["grid", "coarse"] },
  });
  for (const view of [gta_query, gallery]) {
    assert.deepEqual(view, {
      low_altitude: { p: 0, scale: [0.15, 0.3], jitter: 0.1 },
      center_zoom: { p: 0.5, scale: [0.25, 0.55] },
      jpeg: { p: 0.5, quality: [90, 100] },
      color_jitter: { p: 0.5, brightness: 0.15, contrast: 0.15, saturation: 0.15, hue: 0.15 },
      filter: { p: 0.3, of: ["blur", "sharpen"] },
      dropout: { p: 0.3, of: ["grid", "coarse"] },
    });
  }
});

Deno.test("parseAugmentSettings() changes what the JSON names and nothing else", () => {
  const before = structuredClone(AUGMENT_DEFAULTS);
  const text = '{"flip": {"p": 0}, "altitude_crop": [70, 150], "gallery": ' +
    '{"jpeg": {"quality": [70, 80]}, "filter": {"of": ["noise"]}}}';
  const expected = structuredClone(AUGMENT_DEFAULTS);
  expected.flip.p = 0;
  expected.altitude_crop = [70, 150];
  expected.gallery = {
    ...expected.gallery,
    jpeg: { p: 0.5, quality: [70, 80] },
    filter: { p: 0.3, of: ["noise"] },
  };
  assert.deepEqual(parseAugmentSettings(text, "a.json"), expected);
  assert.deepEqual(AUGMENT_DEFAULTS, before);
  assert.deepEqual(parseAugmentSettings("{}", "a.json"), AUGMENT_DEFAULTS);
  const off = parseAugmentSettings('{"altitude_crop": null}', "a.json");
  assert.equal(off.altitude_crop, null);
});

const REFUSED: [string, string, string][] = [
  ["[]", "TypeError", "it is [], expected object"],
  ["3", "TypeError", "it is 3, expected object"],
  ['{"flip": 1}', "TypeError", '"flip" is 1, expected object'],
  ['{"flip": {"p": 1.5}}', "TypeError", '"flip.p" is 1.5, expected number to be <=1'],
  ['{"flip": {"p": "x"}}', "TypeError", '"flip.p" is "x", expected number'],
  [
    '{"gallery": {"jpeg": {"quality": [90, 80]}}}',
    "TypeError",
    '"gallery.jpeg.quality" is [90,80], expected the lower one first',
  ],
  [
    '{"gallery": {"jpeg": {"quality": [0, 80]}}}',
    "TypeError",
    '"gallery.jpeg.quality.0" is 0, expected number to be >=1',
  ],
  [
    '{"gallery": {"filter": {"of": ["blurr"]}}}',
    "TypeError",
    '"gallery.filter.of.0" is "blurr", expected one of "blur"|"sharpen"|"noise"',
  ],
  [
    '{"gallery": {"filter": {"of": []}}}',
    "TypeError",
    '"gallery.filter.of" is [], expected array to have >=1 items',
  ],
];

for (const [text, name, reason] of REFUSED) {
  Deno.test(`parseAugmentSettings() refuses ${text}`, () => {
    assert.throws(() => parseAugmentSettings(text, "a.json"), {
      name,
      message: `Cannot parse a.json: ${reason}`,
    });
  });
}

Deno.test("parseAugmentSettings() names a key that it does not know", () => {
  assert.throws(() => parseAugmentSettings('{"gallery": {"jpg": {}}}', "a.json"), {
    name: "TypeError",
    message: /^Cannot parse a\.json: "gallery" .*"jpg"/,
  });
  assert.throws(() => parseAugmentSettings('{"rotation": 0.5}', "a.json"), {
    message: /^Cannot parse a\.json: it is .*"rotation", known are flip, .*rotate, .*gallery/,
  });
});

Deno.test("parseAugmentSettings() says where the text is no JSON, in one line", () => {
  assert.throws(() => parseAugmentSettings('{"flip":\n{]', "a.json"), {
    name: "SyntaxError",
    message: /^Cannot parse a\.json: [^\n]+$/,
  });
});
