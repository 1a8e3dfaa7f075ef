import assert from "node:assert/strict";
import { augmentPicture, queryView, type Sample } from "../../data/augment.ts";
import {
  AUGMENT_DEFAULTS,
  type AugmentSettings,
  type View,
  type ViewSettings,
} from "../../data/augment_settings.ts";
import { decodePicture, openDecoder } from "../../data/decode.ts";
import { turnOfOrientation, turnOfQuarters, turnPixels } from "../../data/pixels.ts";
import { assertClose } from "../testing.ts";

const decoder = await openDecoder();
const PICTURE = { width: 64, height: 48 };
const SIZE = 32;
const SQUARE = { width: SIZE, height: SIZE };

/** Red grows to the right, green downwards, blue is even: every turn and channel swap shows. */
const png = await decoder.encodePng(
  Uint8Array.from(
    { length: 64 * 48 * 3 },
    (_, i) => [3 * (Math.floor(i / 3) % 64), 5 * Math.floor(i / 3 / 64), 90][i % 3]!,
  ),
  PICTURE,
);

/** Settings with everything off. */
const OFF: AugmentSettings = structuredClone(AUGMENT_DEFAULTS);
OFF.flip.p = 0;
const VIEWS = ["real_query", "gta_query", "gallery"] as const;
for (const view of VIEWS) for (const section of Object.values(OFF[view])) section.p = 0;

/** Everything off but one section of the gallery. */
function only<K extends keyof ViewSettings>(key: K, change: Partial<ViewSettings[K]>) {
  return { ...OFF, gallery: { ...OFF.gallery, [key]: { ...OFF.gallery[key], p: 1, ...change } } };
}

function make(
  settings: AugmentSettings,
  keys: number[] = [1],
  view: View = "gallery",
  altitudeMeters: number | null = null,
) {
  const sample: Sample = { view, keys, altitudeMeters };
  return augmentPicture(png, { name: "x.png", size: SIZE, settings, sample, decoder });
}

const plain = (await make(OFF)).pixels;

Deno.test("augmentPicture() only resizes when everything is off", async () => {
  assert.deepEqual(plain, (await decodePicture(png, { name: "x", ...SQUARE, decoder })).pixels);
});

Deno.test("augmentPicture() mirrors both pictures of a pair by one coin", async () => {
  const mirrored = turnPixels(plain, SQUARE, turnOfOrientation(2));
  const half = { ...OFF, flip: { p: 0.5 } };
  let flips = 0;
  for (let key = 0; key < 100; key++) {
    const [query, reference] = [
      await make(half, [key], "real_query"),
      await make(half, [key], "gallery"),
    ];
    assert.deepEqual(query.pixels, reference.pixels);
    const flipped = query.pixels[0] !== plain[0];
    assert.deepEqual(query.pixels, flipped ? mirrored : plain);
    if (flipped) flips++;
  }
  assert(flips > 25 && flips < 75, `${flips} of 100`); // 50, deviation 5
});

Deno.test("augmentPicture() crops what it says it crops", async () => {
  for (const section of ["low_altitude", "center_zoom"] as const) {
    const { pixels, crop, picture } = await make(only(section, {}));
    assert.deepEqual(picture, PICTURE);
    const scale = section === "low_altitude" ? [0.15, 0.3] : [0.25, 0.55];
    assert(crop.width >= Math.floor(64 * scale[0]!) && crop.width <= 64 * scale[1]!);
    const options = { name: "x", ...SQUARE, decoder, crop: () => crop };
    assert.deepEqual(pixels, (await decodePicture(png, options)).pixels);
    assert.notDeepEqual(pixels, plain);
  }
});

Deno.test("augmentPicture() derives the crop from the altitude when told to", async () => {
  const settings = { ...only("low_altitude", {}), altitude_crop: [70, 150] as [number, number] };
  const widths = async (altitude: number | null) => {
    const crops = [];
    for (let key = 0; key < 200; key++) {
      crops.push((await make(settings, [key], "gallery", altitude)).crop.width);
    }
    return [Math.min(...crops), Math.max(...crops)];
  };
  assert.deepEqual(await widths(200), [22, 47]); // 64 * 70 / 200, 64 * 150 / 200
  assert.deepEqual(await widths(60), [64, 64]);
  assert.deepEqual(await widths(null), [9, 19]); // 64 * 0.15, 64 * 0.30
});

Deno.test("augmentPicture() re-encodes as JPEG at the quality drawn", async () => {
  const fine = (await make(only("jpeg", { quality: [95, 95] }))).pixels;
  const coarse = (await make(only("jpeg", { quality: [5, 5] }))).pixels;
  const error = (pixels: Uint8Array) =>
    pixels.reduce((sum, value, i) => sum + Math.abs(value - plain[i]!), 0) / pixels.length;
  assert(error(fine) > 0 && error(fine) < 3, `${error(fine)}`);
  assert(error(coarse) > 2 * error(fine) && error(coarse) < 40, `${error(coarse)}`);
});

Deno.test("augmentPicture() changes colours pixel by pixel", async () => {
  const change = { brightness: 0.3, contrast: 0, saturation: 0, hue: 0 };
  const { pixels } = await make(only("color_jitter", change));
  const factor = pixels[SIZE * 3 - 3]! / plain[SIZE * 3 - 3]!; // red at the top right
  assert(Math.abs(factor - 1) > 0.02 && Math.abs(factor - 1) <= 0.31);
  // The factor is known to half a level of 190.
  assertClose(pixels, plain.map((value) => Math.min(255, value * factor)), { atol: 1.5, rtol: 0 });
});

Deno.test("augmentPicture() filters by each of the filters", async () => {
  let blurred = 0;
  for (let key = 0; key < 20; key++) {
    const { pixels } = await make(only("filter", { of: ["blur"] }), [key]);
    assertClose(pixels, plain, { atol: 16, rtol: 0 }); // a ramp stays, but for its ends
    if (pixels.join() !== plain.join()) blurred++;
  }
  assert(blurred > 5, `${blurred} of 20`); // narrow kernels change nothing
  const { pixels: sharp } = await make(only("filter", { of: ["sharpen"] }));
  const [x, y] = [20, 10]; // inside a ramp, sharpening only scales, by 0.75 to 1
  const at = (y * SIZE + x) * 3;
  const ratio = sharp[at]! / plain[at]!;
  assert(ratio > 0.73 && ratio < 0.99, `${ratio}`);
  assertClose([sharp[at + 1]! / plain[at + 1]!], [ratio], { atol: 0.03, rtol: 0 });
  const { pixels: noise } = await make(only("filter", { of: ["noise"] }));
  const differences = Array.from(noise, (value, i) => Math.abs(value - plain[i]!));
  const mean = differences.reduce((a, b) => a + b) / noise.length;
  assert(mean > 2 && mean < 6, `${mean}`); // 0.8 deviations, of 3.2 to 7.1
  const kinds = new Set<string>();
  for (let key = 0; key < 40; key++) {
    const { pixels } = await make(only("filter", { of: ["sharpen", "noise"] }), [key]);
    const blues = [0, 3, 6, 9, 12].map((pixel) => pixels[at + pixel + 2]);
    kinds.add(new Set(blues).size === 1 ? "sharpen" : "noise");
  }
  assert.equal(kinds.size, 2);
});

Deno.test("augmentPicture() blackens holes and leaves the rest", async () => {
  for (const [kind, low, high] of [["grid", 0.1, 0.2], ["coarse", 0.05, 0.7]] as const) {
    const { pixels } = await make(only("dropout", { of: [kind] }));
    let black = 0;
    for (let i = 0; i < pixels.length; i += 3) {
      if (pixels[i + 2] === 0) black++; // blue is 90 wherever there is a picture
      else assert.deepEqual(pixels.subarray(i, i + 3), plain.subarray(i, i + 3));
    }
    const share = black / (SIZE * SIZE);
    assert(share > low && share < high, `${kind}: ${share}`);
  }
});

Deno.test("augmentPicture() turns each picture by 0 to 3 quarters of its own", async () => {
  const turned = [0, 1, 2, 3].map((quarters) =>
    turnPixels(plain, SQUARE, turnOfQuarters(quarters)).join()
  );
  const counts = [0, 0, 0, 0];
  let apart = 0;
  for (let key = 0; key < 200; key++) {
    const settings = { ...OFF, rotate: { p: 1 } };
    const [a, b] = [
      turned.indexOf((await make(settings, [key])).pixels.join()),
      turned.indexOf((await make(settings, [key], "real_query")).pixels.join()),
    ];
    counts[a]!++;
    if (a !== b) apart++;
  }
  for (const count of counts) assert(count > 20 && count < 80, `${counts}`); // 50, deviation 6
  assert(apart > 120 && apart < 180, `${apart}`); // 150, deviation 6
});

Deno.test("augmentPicture() draws each transform for itself", async () => {
  const half = { p: 0.5 };
  const cases: AugmentSettings[] = [
    only("low_altitude", half),
    only("jpeg", { ...half, quality: [5, 5] }),
    only("color_jitter", half),
    only("filter", { ...half, of: ["noise"] }),
    only("dropout", half),
    { ...OFF, rotate: half }, // of which a quarter changes nothing
    { ...OFF, flip: half },
  ];
  const changed: boolean[][] = [];
  for (const settings of cases) {
    const flags = [];
    for (let key = 0; key < 100; key++) {
      flags.push((await make(settings, [key])).pixels.join() !== plain.join());
    }
    for (const [other, flagsOfOther] of changed.entries()) {
      const agree = flags.filter((flag, key) => flag === flagsOfOther[key]).length;
      // 50, deviation 5
      assert(agree > 25 && agree < 75, `${changed.length} with ${other}: ${agree} of 100`);
    }
    changed.push(flags);
  }
});

Deno.test("augmentPicture() depends on the keys alone, not on what came before", async () => {
  const seen = new Set<string>();
  for (let round = 0; round < 2; round++) {
    for (let key = 0; key < 20; key++) {
      const { pixels } = await make(AUGMENT_DEFAULTS, [3, round ? 19 - key : key], "real_query");
      seen.add(pixels.join());
    }
  }
  assert.equal(seen.size, 20);
});

Deno.test("augmentPicture() keeps the crop when another transform is switched off", async () => {
  const all = structuredClone(AUGMENT_DEFAULTS);
  const none = structuredClone(AUGMENT_DEFAULTS);
  none.real_query.jpeg.p = none.real_query.filter.p = none.real_query.color_jitter.p = 0;
  for (let key = 0; key < 20; key++) {
    const [a, b] = [await make(all, [key], "real_query"), await make(none, [key], "real_query")];
    assert.deepEqual(a.crop, b.crop);
  }
});

Deno.test("queryView() takes all sources but the game for photographs", () => {
  const views = ["gta", "GTA", "gta-uav-data", "visloc", "my flight"].map(queryView);
  assert.deepEqual(views, ["gta_query", "gta_query", "gta_query", "real_query", "real_query"]);
});

Deno.test("augmentPicture() draws the quality of JPEG from its whole range", async () => {
  const errors = new Set<number>();
  for (let key = 0; key < 20; key++) {
    const { pixels } = await make(only("jpeg", { quality: [5, 95] }), [key]);
    errors.add(pixels.reduce((sum, value, i) => sum + Math.abs(value - plain[i]!), 0));
  }
  assert(errors.size > 10, `${errors.size} of 20 differ`); // one each of 91 qualities
});

Deno.test("augmentPicture() blackens by each kind of hole", async () => {
  const grid = await make(only("dropout", { of: ["grid"] }));
  let grids = 0;
  for (let key = 0; key < 100; key++) {
    const { pixels } = await make(only("dropout", { of: ["grid", "coarse"] }), [key]);
    if (pixels.join() === grid.pixels.join()) grids++;
  }
  assert(grids > 25 && grids < 75, `${grids} of 100`); // 50, deviation 5; a grid is always the same
});
