import assert from "node:assert/strict";
import { gtaTileCentre, tileRuleFor, visLocTileCentre } from "../../eval/tiles.ts";
import { assertClose } from "../testing.ts";

Deno.test("gtaTileCentre() gives the published location of a tile", () => {
  const centre = gtaTileCentre("4_0_6_13.png"); // from the README of GTA-UAV
  assert.ok(centre?.unit === "metres");
  assertClose([centre.x, centre.y], [4492.8, 9331.2], { atol: 1e-9, rtol: 0 });
});

Deno.test("gtaTileCentre() shifts by the offset in pixels of the tile", () => {
  // Zoom 7: 86.4 m a tile of 256 px; offset 128 is half a tile.
  const centre = gtaTileCentre("7_128_1_0.png");
  assert.ok(centre?.unit === "metres");
  assertClose([centre.x, centre.y], [2 * 86.4, 86.4], { atol: 1e-9, rtol: 0 });
});

Deno.test("visLocTileCentre() spreads the map's corners over its scaled pixels", () => {
  // Map 05 is 9394 x 6144 px: log2(9394 / 256) = 5.2, so zoom 6 is full size and zoom 5 is
  // 4697 x 3072 px. Tile (2, 3) there is centred at pixel (640, 896).
  const centre = visLocTileCentre("05_5_002_003.png");
  assert.ok(centre?.unit === "degrees");
  assertClose([centre.lat, centre.lon], [
    24.666899 - 896 / 3072 * (24.666899 - 24.650422),
    102.340055 + 640 / 4697 * (102.365252 - 102.340055),
  ], { atol: 1e-12, rtol: 0 });
});

Deno.test("visLocTileCentre() rounds the pixels of a scaled map up", () => {
  // Map 01 is 9774 x 26762 px: zoom 7 is full size, zoom 5 is 2443.5 x 6690.5 px.
  const centre = visLocTileCentre("01_5_002_003.png");
  assert.ok(centre?.unit === "degrees");
  assertClose([centre.lat, centre.lon], [
    29.774065 - 896 / 6691 * (29.774065 - 29.702283),
    115.970635 + 640 / 2444 * (115.996851 - 115.970635),
  ], { atol: 1e-12, rtol: 0 });
});

Deno.test("tile rules refuse other names", () => {
  for (
    const name of ["IMG_0447.jpg", "4_0_6.png", "09_5_001_002.png", "03_0001.JPG", "x4_0_6_13.png"]
  ) {
    assert.equal(gtaTileCentre(name), null);
    assert.equal(visLocTileCentre(name), null);
  }
});

Deno.test("tileRuleFor() takes the rule that agrees with every known tile", () => {
  const gta = ["4_0_6_13.png", "5_0_1_2.png"];
  const visLoc = ["03_6_001_002.png"];
  assert.equal(tileRuleFor(gta.map((name) => [name, gtaTileCentre(name)!])), gtaTileCentre);
  assert.equal(
    tileRuleFor(visLoc.map((name) => [name, visLocTileCentre(name)!])),
    visLocTileCentre,
  );
});

Deno.test("tileRuleFor() believes no name that contradicts the file, or stands alone", () => {
  const moved = tileRuleFor([
    ["4_0_6_13.png", { unit: "metres", x: 4492.8, y: 9331.2 }],
    ["4_0_0_0.png", { unit: "metres", x: 345.6, y: 347 }], // 1.4 m from 345.6
  ]);
  assert.equal(moved("4_0_6_13.png"), null);
  const otherUnit = tileRuleFor([["4_0_0_0.png", { unit: "degrees", lat: 34.5, lon: 34.5 }]]);
  assert.equal(otherUnit("4_0_6_13.png"), null);
  assert.equal(tileRuleFor([])("4_0_6_13.png"), null);
});

Deno.test("visLocTileCentre() has maps whose pixels are as many degrees wide as high", () => {
  // At the largest zoom, where maps have their own pixels.
  const zooms = {
    "01": 7,
    "02": 8,
    "03": 8,
    "04": 8,
    "05": 6,
    "06": 6,
    "07": 4,
    "08": 8,
    10: 5,
    11: 7,
  };
  for (const [map, zoom] of Object.entries(zooms)) {
    const [origin, right, below] = ["000_000", "001_000", "000_001"].map((place) => {
      const centre = visLocTileCentre(`${map}_${zoom}_${place}.png`);
      assert(centre?.unit === "degrees");
      return centre;
    });
    const ratio = (right!.lon - origin!.lon) / (origin!.lat - below!.lat);
    assert(Math.abs(ratio - 1) < 0.01, `map ${map}: ${ratio}`); // map 07 is 170 px high
  }
});
