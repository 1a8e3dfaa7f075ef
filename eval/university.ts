/**
 * The test folders of University-1652 and of UniV: one folder per building.
 *
 *     TEST_DIR/query_drone/0001/image-01.jpeg
 *     TEST_DIR/gallery_satellite/0001/0001.jpg
 *
 * A folder name is the building's number and the label of its pictures; -1 is junk, which ranks
 * nowhere. UniV holds the frames of one video in a folder: their embeddings are averaged.
 *
 * @module
 * @see https://github.com/layumi/University1652-Baseline
 */
import { join } from "node:path";
import { type Picture, picturePath } from "../data/pairs.ts";
import { normaliseRows } from "./embeddings.ts";
import { listPictures } from "./folder.ts";
import { averagePrecisionTrapezoid, onePercentRounded } from "./metrics.ts";
import type { Protocol } from "./protocol.ts";
import type { Embeddings, QueryRanking } from "./ranks.ts";

const SOURCE = "university";
const JUNK = -1;

/** From a drone's view to the satellite's, or back. */
export type UniversityTask = "drone2sate" | "sate2drone";

/** A picture, or a video: the frames of one building. */
export interface UniversityItem {
  /** Number of the building. */
  label: number;
  /** `0001/image-01.jpeg`, or `0001` for a video. */
  name: string;
  pictures: Picture[];
}

/** Test set of one task. */
export interface University {
  queries: UniversityItem[];
  /** Without junk. */
  gallery: UniversityItem[];
  /** How many items of the gallery are junk. */
  junk: number;
}

/** How to read the folders. */
export interface UniversityOptions {
  task: UniversityTask;
  /** Makes one item of all frames in a building's folder, on the drone's side. Default false. */
  video?: boolean;
  /** The drone's folders are `query_NAME`, `gallery_NAME`: `drone` (default), `bev` of UniV, ... */
  droneView?: string;
  /** Names of the pictures in a folder and below. Default {@linkcode listPictures}. */
  listFolder?: (path: string) => string[];
}

/**
 * Lists the queries and the gallery of a task, by building, then by file name.
 *
 * @param testDir Holds the folders `query_*` and `gallery_*`.
 * @throws {TypeError} If a picture is not in a folder that is called by a number.
 * @throws {Error} If a folder cannot be read or holds no picture.
 */
export function readUniversity(testDir: string, options: UniversityOptions): University {
  const { task, video = false, droneView = "drone", listFolder = listPictures } = options;
  const read = (side: "query" | "gallery", isDrone: boolean): UniversityItem[] => {
    const folder = `${side}_${isDrone ? droneView : "satellite"}`;
    const names = listFolder(join(testDir, folder));
    if (names.length === 0) {
      throw new Error(`Cannot evaluate ${join(testDir, folder)}: it holds no pictures`);
    }
    const items = names.map((name) => {
      const picture = { root: testDir, folder, name };
      return { label: labelOf(picture), name, pictures: [picture] };
    });
    if (!video || !isDrone) return items;
    return Array.from(
      Map.groupBy(items, ({ name }) => name.slice(0, name.lastIndexOf("/"))),
      ([name, frames]) => ({
        label: frames[0]!.label,
        name,
        pictures: frames.flatMap(({ pictures }) => pictures),
      }),
    );
  };
  const all = read("gallery", task === "sate2drone");
  const gallery = all.filter(({ label }) => label !== JUNK);
  const queries = read("query", task === "drone2sate");
  return { queries, gallery, junk: all.length - gallery.length };
}

function labelOf(picture: Picture): number {
  const folder = picture.name.split("/").at(-2);
  if (folder !== undefined && /^(\d+|-1)$/.test(folder)) return Number(folder);
  throw new TypeError(
    `Cannot evaluate ${picturePath(picture)}: its folder is not a number, ` +
      "wanted that of a building such as 0001, or -1 for junk",
  );
}

/** The same as a protocol: a query's positives are all items of its building. */
export function universityProtocol({ queries, gallery }: University): Protocol {
  const places = Map.groupBy(gallery.keys(), (j) => gallery[j]!.label);
  const itemOf = ({ pictures }: UniversityItem) => ({ picture: pictures[0]!, location: null });
  return {
    evalMode: "pos",
    queries: queries.map((item) => ({ ...itemOf(item), source: SOURCE })),
    gallery: gallery.map(itemOf),
    truths: queries.map(({ label }) => ({
      positives: places.get(label) ?? [],
      semiPositives: [],
    })),
    skipped: new Map([[SOURCE, 0]]),
    maps: null,
  };
}

/**
 * Embeds pictures: one row of equal length for each path, in order, not necessarily of unit length.
 *
 * With flips or several scales a row is the sum over them, as published; each row, not each
 * summand, is then brought to unit length by {@linkcode embedUniversity}.
 */
export type EmbedPictures = (paths: string[]) => Promise<Float32Array>;

/**
 * Embeds the items of a test set.
 *
 * A video's row is the mean over its frames' unit rows and is not brought to unit length again, as
 * published: a video whose frames disagree scores lower.
 *
 * @throws {TypeError} If `embed` gives no whole rows, or others for the gallery.
 * @throws {RangeError} If a row is zero or holds NaN or Infinity; the message names the picture.
 */
export async function embedUniversity(
  { queries, gallery }: University,
  embed: EmbedPictures,
): Promise<Embeddings> {
  const query = await embedItems(queries, embed);
  const references = await embedItems(gallery, embed);
  if (query.dim !== references.dim) {
    throw new TypeError(
      `Cannot evaluate: queries have ${query.dim} values a row but references ${references.dim}`,
    );
  }
  return { query: query.values, gallery: references.values, dim: query.dim };
}

async function embedItems(
  items: readonly UniversityItem[],
  embed: EmbedPictures,
): Promise<{ values: Float32Array; dim: number }> {
  const paths = items.flatMap(({ pictures }) => pictures.map(picturePath));
  const raw = await embed(paths);
  const dim = raw.length / paths.length;
  if (!Number.isInteger(dim) || dim === 0) {
    throw new TypeError(`Cannot evaluate: ${raw.length} values for ${paths.length} pictures`);
  }
  const unit = normaliseRows(raw, dim, (row) => `Cannot evaluate: ${paths[row]}`);
  const sums = new Float64Array(items.length * dim);
  let frame = 0;
  items.forEach(({ pictures }, i) => {
    pictures.forEach(() => {
      for (let d = 0; d < dim; d++) sums[i * dim + d]! += unit[frame * dim + d]! / pictures.length;
      frame++;
    });
  });
  return { values: Float32Array.from(sums), dim };
}

/**
 * The two lines that `evaluate_gpu.py` prints: the index it takes for 1%, then the metrics.
 *
 * As there, and unlike our own lines, queries without a positive stay in the denominator and junk
 * counts for the size of the gallery. Ties rank against us (there: in no fixed order).
 *
 * @param rankings Of all queries.
 */
export function universityLines(
  rankings: readonly QueryRanking[],
  { gallery, junk }: University,
): string[] {
  const size = gallery.length + junk;
  const share = (value: (ranks: number[]) => number) => {
    const judged = rankings.filter(({ positiveRanks }) => positiveRanks.length > 0);
    const sum = judged.reduce((total, { positiveRanks }) => total + value(positiveRanks), 0);
    return (100 * sum / rankings.length).toFixed(2);
  };
  const recall = (k: number) => share(([best]) => best! < k ? 1 : 0);
  return [
    `${onePercentRounded(size) - 1}`,
    `Recall@1:${recall(1)} Recall@5:${recall(5)} Recall@10:${recall(10)} ` +
    `Recall@top1:${recall(onePercentRounded(size))} AP:${share(averagePrecisionTrapezoid)}`,
  ];
}

/**
 * An answer file: a line a query, with the names of its ten best references.
 *
 * `tab`: file names between tabs, as `test_160k.py` writes them; `space`: without their extension
 * between single spaces, as in the ACM MM'24 challenge, though its folders, which have no numbers,
 * cannot be read. A video goes by the name of its folder. If
 * two pictures of the gallery have the same file name, all have their folder in front.
 *
 * @param rankings Of all queries, with indices of `gallery`.
 */
export function answerText(
  rankings: readonly QueryRanking[],
  gallery: readonly UniversityItem[],
  format: "tab" | "space",
): string {
  const files = gallery.map(({ name }) => name.slice(name.lastIndexOf("/") + 1));
  const names = new Set(files).size === files.length ? files : gallery.map(({ name }) => name);
  return rankings.map(({ top }) => {
    const best = top.slice(0, 10).map((j) => names[j]!);
    if (format === "tab") return best.join("\t") + "\n";
    return best.map((name) => name.replace(/\.[^./]+$/, "")).join(" ") + "\n";
  }).join("");
}
