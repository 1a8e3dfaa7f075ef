/**
 * What an evaluation compares: queries, references, and which of them belong together.
 *
 * @module
 */
import {
  type Entry,
  type Location,
  type PairMode,
  type Picture,
  pictureKey,
  picturePath,
} from "../data/pairs.ts";
import { listPictures } from "./folder.ts";
import { type MapGroup, splitByMap } from "./maps.ts";
import type { Truth } from "./ranks.ts";
import { tileRuleFor } from "./tiles.ts";

/** A picture and where it was taken, or what it shows the middle of. */
export interface LocatedPicture {
  picture: Picture;
  location: Location | null;
}

/** A picture to be found. */
export interface QueryItem extends LocatedPicture {
  source: string;
}

/** The whole of an evaluation but the embeddings; `truths` runs along `queries`. */
export interface Protocol {
  evalMode: PairMode;
  queries: QueryItem[];
  /** All references, of all sources together: that is what each query is ranked against. */
  gallery: LocatedPicture[];
  truths: Truth[];
  /** Queries of each source that are left out for want of a positive; every source has a key. */
  skipped: Map<string, number>;
  /** Which queries are compared with which references; null: all with all. */
  maps: MapGroup[] | null;
}

/** How to find references. */
export interface GalleryOptions {
  /** `listed` (default): the references of the entries; `folder`: every picture of their folders. */
  gallery?: "listed" | "folder";
  /** Names of the pictures in a folder and below. Default {@linkcode listPictures}. */
  listFolder?: (path: string) => string[];
}

/** How to build a {@linkcode Protocol}. */
export interface ProtocolOptions extends GalleryOptions {
  /** Which references count as right: positives, or semi-positives too. */
  evalMode: PairMode;
  /** Compares a query only with references of its own map. Default false. */
  sameMap?: boolean;
}

/**
 * References of a pairs file, each once: in the order in which the file first names them; with
 * `gallery: "folder"` in the order of their folders, then of their names.
 *
 * With `gallery: "folder"` a tile that the file does not list has the location that its name tells,
 * if names tell the locations of all listed tiles of that folder (GTA-UAV, UAV-VisLoc), else none.
 *
 * @throws {Error} If a folder cannot be read or lacks a listed reference.
 */
export function galleryOf(
  entries: readonly Entry[],
  { gallery, listFolder = listPictures }: GalleryOptions = {},
): LocatedPicture[] {
  const listed = new Map<string, LocatedPicture>();
  for (const { picture, location } of entries.flatMap((entry) => entry.references)) {
    const known = listed.get(pictureKey(picture));
    if (known === undefined) listed.set(pictureKey(picture), { picture, location });
    else known.location ??= location;
  }
  return gallery === "folder" ? galleryOfFolders(listed, listFolder) : [...listed.values()];
}

/**
 * Queries, gallery ({@linkcode galleryOf}) and truth of a test file.
 *
 * A picture is a query once, however many entries (virtual copies) name it, with the references of
 * all of them. A query without a positive is left out and counted.
 *
 * @throws {RangeError} If no query has a positive, or a source is called "overall".
 * @throws {Error} If a folder cannot be read or lacks a listed reference.
 */
export function buildProtocol(entries: readonly Entry[], options: ProtocolOptions): Protocol {
  const { evalMode, sameMap = false } = options;
  const gallery = galleryOf(entries, options);
  const skipped = new Map<string, number>();
  const queries: QueryItem[] = [];
  const truths: Truth[] = [];
  for (const { item, truth } of queriesOf(entries, { gallery, evalMode })) {
    const hasPositive = truth.positives.length > 0;
    skipped.set(item.source, (skipped.get(item.source) ?? 0) + (hasPositive ? 0 : 1));
    if (!hasPositive) continue;
    queries.push(item);
    truths.push(truth);
  }
  if (queries.length === 0) {
    throw new RangeError(
      `Cannot evaluate: none of the ${entries.length} entries has a positive with eval mode ` +
        `${evalMode}, wanted at least one`,
    );
  }
  if (skipped.has("overall")) {
    throw new RangeError('Cannot evaluate a source called "overall": that is the sum of all');
  }
  const maps = sameMap ? splitByMap({ queries, gallery, truths }) : null;
  return { evalMode, queries, gallery, truths, skipped, maps };
}

/** Distinct queries in the order of the file, with or without a positive. */
function queriesOf(
  entries: readonly Entry[],
  { gallery, evalMode }: { gallery: readonly LocatedPicture[]; evalMode: PairMode },
): { item: QueryItem; truth: Truth }[] {
  const places = new Map(gallery.map(({ picture }, i) => [pictureKey(picture), i]));
  const drafts = new Map<string, { item: QueryItem; right: Map<number, boolean> }>();
  for (const { query, location, source, references } of entries) {
    const key = pictureKey(query);
    const draft = drafts.get(key) ??
      { item: { picture: query, location, source }, right: new Map<number, boolean>() };
    drafts.set(key, draft);
    draft.item.location ??= location;
    for (const { picture, positive } of references) {
      const place = places.get(pictureKey(picture))!;
      const counts = positive || evalMode === "pos_semipos";
      draft.right.set(place, counts || draft.right.get(place) === true);
    }
  }
  return Array.from(drafts.values(), ({ item, right }) => {
    const those = (wanted: boolean) =>
      [...right].filter(([, counts]) => counts === wanted).map(([place]) => place);
    return { item, truth: { positives: those(true), semiPositives: those(false) } };
  });
}

/** Every picture of the folders that hold a listed reference. */
function galleryOfFolders(
  listed: ReadonlyMap<string, LocatedPicture>,
  listFolder: (path: string) => string[],
): LocatedPicture[] {
  const folders = Map.groupBy(
    listed.values(),
    ({ picture }) => pictureKey({ ...picture, name: "" }),
  );
  return [...folders.values()].flatMap((tiles) => {
    const { root, folder } = tiles[0]!.picture;
    const path = picturePath({ root, folder, name: "" });
    const locations = new Map(tiles.map(({ picture, location }) => [picture.name, location]));
    const names = new Set(listFolder(path));
    const missing = tiles.map(({ picture }) => picture.name).filter((name) => !names.has(name));
    if (missing.length > 0) {
      throw new Error(
        `Cannot use the gallery folder ${path}: it lacks ${missing.length} of the ` +
          `${tiles.length} references that the pairs file lists, first "${missing[0]}"`,
      );
    }
    const rule = tileRuleFor(
      [...locations].filter((tile): tile is [string, Location] => tile[1] !== null),
    );
    return Array.from(names, (name) => ({
      picture: { root, folder, name },
      location: locations.get(name) ?? rule(name),
    }));
  });
}
