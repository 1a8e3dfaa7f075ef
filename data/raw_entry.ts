/**
 * One element of a pairs file as it stands in the JSON, checked.
 *
 * @module
 */
import { z } from "zod";
import { problemOf, show } from "./json.ts";
import type { Location, PairMode } from "./pairs.ts";

const point = z.tuple([z.number(), z.number()]); // zod's number is finite
const latitude = "expected a latitude from -90 to 90, then the longitude";
const latLon = z.tuple([
  z.number().min(-90, latitude).max(90, latitude),
  z.number().min(-180).max(180),
]);
/** A file from Windows may part folders by a backslash; so none can be in a name. */
const withSlashes = (path: string) => path.replaceAll("\\", "/");
const folder = z.string().transform(withSlashes);
const file = z.string().min(1).transform(withSlashes);
const names = z.array(file);
const weights = z.array(z.number().min(0)); // overlaps, or what grows with them

/** A source names a line of the report and a folder of checkpoints, beside those of "overall". */
export const SOURCE_NAME: RegExp = /^(?!overall$)[^/\\\p{Cc}]{1,64}$/iu;

/** {@linkcode SOURCE_NAME} in words. */
export const SOURCE_NAME_RULE = 'expected 1 to 64 characters, no slash, and not "overall"';

// Other keys are left alone: files carry descriptions, camera poses and more.
const schema = z.object({
  dataset_source: z.string().regex(SOURCE_NAME, SOURCE_NAME_RULE).nullish(),
  data_root: z.string().min(1).nullish(),
  altitude_meters: z.number().positive().nullish(),
  duplicate_id: z.int().min(0).nullish(),
  drone_img_dir: folder,
  drone_img_name: file,
  drone_loc_x_y: point.nullish(),
  drone_loc_lat_lon: latLon.nullish(),
  sate_img_dir: folder,
  pair_pos_sate_img_list: names,
  pair_pos_sate_weight_list: weights.nullish(),
  pair_pos_sate_loc_x_y_list: z.array(point).nullish(),
  pair_pos_sate_loc_lat_lon_list: z.array(latLon).nullish(),
  pair_pos_semipos_sate_img_list: names.nullish(),
  pair_pos_semipos_sate_weight_list: weights.nullish(),
  pair_pos_semipos_sate_loc_x_y_list: z.array(point).nullish(),
  pair_pos_semipos_sate_loc_lat_lon_list: z.array(latLon).nullish(),
});

/** An element of a pairs file. */
export type RawEntry = z.infer<typeof schema>;
type Point = z.infer<typeof point>;

/** A reference as an entry lists it. */
export interface RawReference {
  name: string;
  weight: number | null;
  location: Location | null;
  positive: boolean;
}

/**
 * Checks one element.
 *
 * @param where Start of the error message.
 * @throws {TypeError} If a value is missing or wrong, or lists differ in length.
 */
export function checkEntry(value: unknown, where: string): RawEntry {
  const { data, error } = schema.safeParse(value);
  if (error !== undefined) throw new TypeError(`${where}: ${problemOf(error, value)}`);
  for (const mode of ["pos", "pos_semipos"] as const) {
    const { length } = data[`pair_${mode}_sate_img_list`] ?? [];
    for (const list of ["weight", "loc_x_y", "loc_lat_lon"] as const) {
      const key = `pair_${mode}_sate_${list}_list` as const;
      const found = data[key]?.length ?? length;
      if (found !== length) {
        throw new TypeError(`${where}: "${key}" has ${found} values for ${length} pictures`);
      }
    }
  }
  checkOrder(data, where);
  return data;
}

/** Refuses a query that is near its references only with latitude and longitude exchanged. */
function checkOrder(raw: RawEntry, where: string): void {
  const query = raw.drone_loc_lat_lon;
  const references = [
    ...raw.pair_pos_sate_loc_lat_lon_list ?? [],
    ...raw.pair_pos_semipos_sate_loc_lat_lon_list ?? [],
  ];
  if (!query || references.length === 0 || references.some((each) => isNear(each, query))) return;
  const [lat, lon] = query;
  if (references.every((each) => isNear(each, [lon, lat]))) {
    throw new TypeError(
      `${where}: "drone_loc_lat_lon" is ${show(query)}, expected latitude before longitude, ` +
        "as in the lists of its references",
    );
  }
}

/** Whether a place is within 0.1 of another in both coordinates: 11 km in degrees, 10 cm in metres. */
function isNear([lat, lon]: Point, [otherLat, otherLon]: Point): boolean {
  const turn = Math.abs(lon - otherLon);
  return Math.abs(lat - otherLat) < 0.1 && Math.min(turn, 360 - turn) < 0.1;
}

/**
 * References of an entry: positives in file order, then the other semi-positives, each name once.
 *
 * @param xyUnit Unit of values under an `x_y` key.
 */
export function referencesOf(raw: RawEntry, xyUnit: Location["unit"]): RawReference[] {
  const found = new Map<string, RawReference>();
  for (const mode of ["pos", "pos_semipos"] as const satisfies PairMode[]) {
    const weights = raw[`pair_${mode}_sate_weight_list`];
    const latLons = raw[`pair_${mode}_sate_loc_lat_lon_list`];
    const points = raw[`pair_${mode}_sate_loc_x_y_list`];
    (raw[`pair_${mode}_sate_img_list`] ?? []).forEach((name, i) => {
      const weight = weights?.[i] ?? null;
      const location = toLocation(latLons?.[i], points?.[i], xyUnit);
      const known = found.get(name);
      if (known === undefined) {
        found.set(name, { name, weight, location, positive: mode === "pos" });
      } else { // one of the two lists may lack weights or places
        known.weight ??= weight;
        known.location ??= location;
      }
    });
  }
  return [...found.values()];
}

/** The place under the `lat_lon` key, else under the `x_y` key, else null. */
export function toLocation(
  latLon: Point | null | undefined,
  xy: Point | null | undefined,
  xyUnit: Location["unit"],
): Location | null {
  if (latLon) return { unit: "degrees", lat: latLon[0], lon: latLon[1] };
  if (!xy) return null;
  const [x, y] = xy;
  return xyUnit === "metres" ? { unit: "metres", x, y } : { unit: "degrees", lat: x, lon: y };
}

/**
 * What an entry's `x_y` values are as [latitude, longitude]: out of range, far if a reference is not
 * near its query, or near; swapped if they would be near but for their order; null if nothing tells.
 */
export function asDegrees(raw: RawEntry): "out of range" | "far" | "near" | "swapped" | null {
  const query = raw.drone_loc_x_y;
  const references = [
    ...raw.pair_pos_sate_loc_x_y_list ?? [],
    ...raw.pair_pos_semipos_sate_loc_x_y_list ?? [],
  ];
  const points = [...query ? [query] : [], ...references];
  const allWithin = (most: number) =>
    points.every(([lat, lon]) => Math.abs(lat) <= most && Math.abs(lon) <= 180);
  if (!allWithin(180)) return "out of range";
  const isSwapped = !allWithin(90);
  if (!query || references.length === 0) return isSwapped ? "out of range" : null;
  if (!references.every((each) => isNear(each, query))) return isSwapped ? "out of range" : "far";
  return isSwapped ? "swapped" : "near";
}
