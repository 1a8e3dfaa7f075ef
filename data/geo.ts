/**
 * How far apart two places are.
 *
 * @module
 */
import geographiclib from "geographiclib-geodesic"; // a UMD bundle: only its default import works
import type { Location } from "./pairs.ts";

const { WGS84, DISTANCE } = geographiclib.Geodesic;

/**
 * Distance between two places in metres: geodesic for degrees, straight for metres.
 *
 * @throws {RangeError} If the units differ, or a value is not finite or no latitude.
 * @see Karney 2013, "Algorithms for geodesics", doi:10.1007/s00190-012-0578-z
 */
export function distanceMetres(a: Location, b: Location): number {
  let distance = NaN;
  if (a.unit === "metres" && b.unit === "metres") {
    distance = Math.hypot(a.x - b.x, a.y - b.y);
  } else if (a.unit === "degrees" && b.unit === "degrees") {
    distance = WGS84.Inverse(a.lat, a.lon, b.lat, b.lon, DISTANCE).s12 ?? NaN;
  }
  if (!Number.isFinite(distance)) {
    throw new RangeError(
      `Cannot measure a distance between ${JSON.stringify(a)} and ${JSON.stringify(b)}: ` +
        "expected two places in the same unit with finite values",
    );
  }
  return distance;
}
