import assert from "node:assert/strict";
import { distanceMetres } from "../../data/geo.ts";
import type { Location } from "../../data/pairs.ts";
import { assertClose } from "../testing.ts";

const degrees = (lat: number, lon: number): Location => ({ unit: "degrees", lat, lon });
const metres = (x: number, y: number): Location => ({ unit: "metres", x, y });

Deno.test("distanceMetres() is the geodesic when places are in degrees", () => {
  // JFK to LHR as the manual of GeographicLib::Geodesic gives it; a degree of the equator is
  // a * pi / 180 with a = 6378137 m.
  const jfk = degrees(40.6, -73.8);
  const lhr = degrees(51.6, -0.5);
  const equator = distanceMetres(degrees(0, 179.5), degrees(0, -179.5)); // across the date line
  // 15 nm is the library's stated accuracy; the first is printed to a millimetre.
  assertClose([distanceMetres(jfk, lhr)], [5551759.400], { atol: 1e-3, rtol: 0 });
  assertClose([equator], [6378137 * Math.PI / 180], { atol: 1e-6, rtol: 0 });
});

Deno.test("distanceMetres() tells latitude from longitude", () => {
  // At 60 north a degree of longitude is about half a degree of latitude (WGS 84: 55.8, 111.4 km).
  const north = distanceMetres(degrees(60, 10), degrees(61, 10));
  const east = distanceMetres(degrees(60, 10), degrees(60, 11));
  assertClose([north, east], [111_420, 55_800], { atol: 10, rtol: 0 });
});

Deno.test("distanceMetres() is straight when places are in metres", () => {
  assert.equal(distanceMetres(metres(3, 100), metres(0, 104)), 5);
  assert.equal(distanceMetres(metres(50, 60), metres(50, 60)), 0);
});

Deno.test("distanceMetres() refuses two units and values that are no place", () => {
  assert.throws(() => distanceMetres(metres(1, 2), degrees(1, 2)), {
    name: "RangeError",
    message: 'Cannot measure a distance between {"unit":"metres","x":1,"y":2} and ' +
      '{"unit":"degrees","lat":1,"lon":2}: expected two places in the same unit with finite values',
  });
  assert.throws(() => distanceMetres(degrees(91, 0), degrees(0, 0)), RangeError);
  assert.throws(() => distanceMetres(metres(NaN, 0), metres(0, 0)), RangeError);
});
