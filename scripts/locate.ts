/**
 * Finds where photos were taken: the references that each is most like, and their places.
 *
 *     deno task locate --adapter FOLDER --references test.json --data_root data --pictures photos
 *
 * @module
 */
import { checkRoots } from "../data/check_pictures.ts";
import { jsonLines } from "../data/json.ts";
import { picturePath } from "../data/pairs.ts";
import { alignEmbeddings, pictureNames, takeRows } from "../eval/embeddings.ts";
import type { RankedReference } from "../eval/predictions.ts";
import { galleryOf } from "../eval/protocol.ts";
import type { Embeddings } from "../eval/ranks.ts";
import { searchGallery } from "../kernels/search.ts";
import type { PictureEmbedder } from "../load_embedder.ts";
import { adapterFiles } from "../model/adapter.ts";
import { writeFileAtomic } from "../model/files.ts";
import { parseFlags, runScript, UsageError } from "./cli.ts";
import { readEmbeddings } from "./embeddings_file.ts";
import { embedWithBar } from "./evaluation.ts";
import { checkImgSize, DATA_FLAGS, readEntries } from "./flags.ts";
import { hasModel, INFERENCE_FLAGS, loadForFlags } from "./inference.ts";
import { layoutsFile } from "./layouts.ts";
import { checkOutputs } from "./outputs.ts";
import { folderOf, keepOnly, keepReading, modelFiles, rootsOf } from "./permissions.ts";
import { expandFolders } from "./photos.ts";

const { data_root, gallery, allow_outside_root } = DATA_FLAGS;

/** Flags of the command. */
export const FLAGS = {
  adapter: { type: "string", unit: "folder", help: "adapter to embed with" },
  pictures: {
    type: "strings",
    unit: "path",
    help: "photo or folder of photos to find the place of; may be repeated",
  },
  references: {
    type: "string",
    unit: "file",
    required: true,
    help: "pairs JSON whose references are searched, as the path is given or in --data_root",
  },
  ...{ data_root, gallery, allow_outside_root },
  embeddings: {
    type: "string",
    unit: "file",
    help: "their embeddings by `embed` and the same model: only a few are made anew, to check that",
  },
  top_k: { type: "integer", default: 5, min: 1, help: "references to name for each photo" },
  output: { type: "string", unit: "file", help: "write there, not to stdout" },
  ...INFERENCE_FLAGS,
} as const;

/** What it is called and does. */
export const COMMAND = {
  name: "locate",
  summary: "finds where photos were taken, among the references of a pairs file",
};

/** Least cosine of two embeddings of a picture: f16 moves one by 1 % of its length at most. */
const SAME_MODEL = 0.9999;
const CHECKED = 4; // references of a file

/** What is printed of a photo, as JSON on one line. */
export interface Located {
  /** Path of the photo. */
  picture: string;
  /** The references that it is most like, best first. */
  top: RankedReference[];
}

/** Runs the command. */
export async function main(args: string[]): Promise<void> {
  const flags = parseFlags(COMMAND, FLAGS, args);
  if (flags.pictures.length === 0) throw new UsageError("Cannot run locate: --pictures is missing");
  if (!hasModel(flags)) {
    throw new UsageError("Cannot run locate: give --adapter, or --model for a backbone as it is");
  }
  checkImgSize(flags.img_size, "locate");
  checkOutputs(
    [flags.output],
    [
      ...[flags.references, flags.embeddings, flags.weights, ...flags.pictures],
      ...adapterFiles(flags.adapter),
    ],
  );
  await keepOnly({
    write: [folderOf(flags.output), folderOf(layoutsFile())],
    pictures: true,
    gpu: flags.gpu,
  });
  const { data_root: dataRoot, allow_outside_root: allowOutsideRoot } = flags;
  const entries = await readEntries(flags.references, { dataRoot, allowOutsideRoot });
  const references = galleryOf(entries, { gallery: flags.gallery });
  if (references.length === 0) {
    throw new TypeError(`Cannot search ${flags.references}: it names no reference`);
  }
  const pictures = references.map(({ picture }) => picture);
  const paths = pictures.map(picturePath);
  const photos = expandFolders(flags.pictures);
  checkOutputs([flags.output], [...photos, ...paths]);
  checkRoots(pictures);
  const roots = rootsOf(pictures, allowOutsideRoot);
  keepReading([...roots, flags.embeddings, ...flags.pictures, ...modelFiles(flags)]);
  const known = flags.embeddings === null ? null : {
    path: flags.embeddings,
    ...alignEmbeddings(
      await readEmbeddings(flags.embeddings),
      { queries: [], gallery: references },
      flags.embeddings,
    ),
  };

  using loaded = await loadForFlags(flags);
  const { num_workers: numWorkers, top_k: k } = flags;
  const sides = await embedSides(loaded, { photos, paths, known, numWorkers });
  const found = await searchGallery(loaded.gpu, { ...sides, dim: loaded.dim, k });
  const names = pictureNames(pictures);
  const text = jsonLines(found.map(({ top, topScores }, i): Located => ({
    picture: photos[i]!,
    top: top.map((j, rank) => ({
      reference: names[j]!,
      score: topScores[rank]!,
      location: references[j]!.location,
    })),
  })));
  if (flags.output === null) console.log(text.trimEnd());
  else await writeFileAtomic(flags.output, text);
}

/**
 * Embeds photos and references; of references that are known a few, to compare.
 *
 * @throws {TypeError} If those that are known are another model's.
 */
async function embedSides(
  { embedder, dim, imgSize }: PictureEmbedder,
  { photos, paths, known, numWorkers }: {
    photos: readonly string[];
    /** Of the references. */
    paths: readonly string[];
    /** What a file has of them. */
    known: Embeddings & { path: string } | null;
    numWorkers: number;
  },
): Promise<{ queries: Float32Array; gallery: Float32Array }> {
  if (known && known.dim !== dim) {
    throw new TypeError(
      `Cannot use ${known.path}: its embeddings have ${known.dim} values, expected this model's ${dim}`,
    );
  }
  const rows = known ? spread(paths.length, CHECKED) : [...paths.keys()];
  // Photos first: one that cannot be read is better known before hours of work.
  const all = [...photos, ...rows.map((row) => paths[row]!)];
  const embeddings = await embedWithBar(embedder, all, { imgSize, numWorkers });
  const queries = embeddings.subarray(0, photos.length * dim);
  const gallery = embeddings.subarray(photos.length * dim);
  if (!known) return { queries, gallery };

  const stored = takeRows(known.gallery, dim, rows);
  rows.forEach((row, i) => {
    let cosine = 0;
    for (let d = i * dim; d < (i + 1) * dim; d++) cosine += stored[d]! * gallery[d]!;
    if (cosine >= SAME_MODEL) return;
    throw new TypeError(
      `Cannot use ${known.path}: another model has made it, or this one at another size, as its ` +
        `embedding of ${paths[row]} has a cosine of ${cosine.toFixed(5)} with the one made here, ` +
        `expected ${SAME_MODEL} or more`,
    );
  });
  return { queries, gallery: known.gallery };
}

/** So many numbers below `length`, evenly spread, or all. */
function spread(length: number, count: number): number[] {
  return [...new Set(Array.from({ length: count }, (_, i) => Math.floor(i * length / count)))];
}

if (import.meta.main) await runScript(main);
