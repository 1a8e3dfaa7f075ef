/**
 * Which queries and references lie on the same map.
 *
 * @module
 */
import type { Picture } from "../data/pairs.ts";
import type { Truth } from "./ranks.ts";

/** Indices of queries, and of the references they are compared with. */
export interface MapGroup {
  queries: number[];
  gallery: number[];
}

/**
 * Groups queries with the references of their own map.
 *
 * A map is what lies in one folder of a root and has the same letters before the first `_` of its
 * name, as UAV-VisLoc names drone pictures (`03_0001.JPG`) and tiles (`03_5_001_002.png`). Names of
 * other sources mean something else there, so this is believed of a root only if each of its
 * queries shares folder and letters with all its right references; otherwise the root is one map.
 *
 * @returns Groups that hold each query once; references of maps without a query are in none.
 */
export function splitByMap({ queries, gallery, truths }: {
  queries: readonly { picture: Picture }[];
  gallery: readonly { picture: Picture }[];
  truths: readonly Truth[];
}): MapGroup[] {
  const rightOf = (q: number) =>
    [...truths[q]!.positives, ...truths[q]!.semiPositives].map((j) => gallery[j]!.picture);
  const plain = new Set<string>(); // roots that are one map
  queries.forEach(({ picture }, q) => {
    const [first, ...others] = rightOf(q);
    const agrees = prefixOf(picture) === prefixOf(first!) &&
      others.every((other) => fineKey(other) === fineKey(first!));
    if (!agrees) plain.add(picture.root);
  });
  const mapOf = (picture: Picture) =>
    plain.has(picture.root) ? JSON.stringify([picture.root]) : fineKey(picture);

  const groups = new Map<string, MapGroup>();
  queries.forEach((_, q) => {
    const key = mapOf(rightOf(q)[0]!);
    groups.set(key, groups.get(key) ?? { queries: [], gallery: [] });
    groups.get(key)!.queries.push(q);
  });
  gallery.forEach(({ picture }, j) => groups.get(mapOf(picture))?.gallery.push(j));
  return [...groups.values()];
}

function fineKey(picture: Picture): string {
  return JSON.stringify([picture.root, picture.folder, prefixOf(picture)]);
}

/** Letters before the first `_` of a file name; empty if there is none. */
function prefixOf({ name }: Picture): string {
  const file = name.slice(name.lastIndexOf("/") + 1);
  return file.slice(0, Math.max(0, file.indexOf("_")));
}
