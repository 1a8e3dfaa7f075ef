/**
 * Finds where photos were taken: the references that each is most like, and their places.
 *
 *     deno task locate --adapter FOLDER --references test.json --data_root data --pictures photos
 *
 * @module
 */
import { checkRoots } from "../data/check_pictures.ts";
import { type Location, picturePath } from "../data/pairs.ts";
import { alignEmbeddings, pictureNames } from "../eval/embeddings.ts";
import { galleryOf } from "../eval/protocol.ts";
import type { Embeddings } from "../eval/ranks.ts";
import { searchGallery } from "../kernels/search.ts";
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
import { say } from "./progress.ts";

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
    help: "their embeddings, which `embed` has made with the same model: they are not made anew",
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

/** Cosine of two embeddings of a picture by one model in f32 and f16 is above 0.9999. */
const SAME_MODEL = 0.99;

/** What is printed of a photo, as JSON on one line. */
export interface Located {
  /** Path of the photo. */
  picture: string;
  /** The references that it is most like, best first. */
  top: {
    /** Its picture, named as in files of embeddings. */
    reference: string;
    /** Cosine of the embeddings. */
    score: number;
    location: Location | null;
  }[];
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
  const photos = expandFolders(flags.pictures);
  checkRoots(pictures);
  const roots = rootsOf(pictures, allowOutsideRoot);
  keepReading([...roots, flags.embeddings, ...flags.pictures, ...modelFiles(flags)]);
  const known = flags.embeddings === null ? null : alignEmbeddings(
    await readEmbeddings(flags.embeddings),
    { queries: [], gallery: references },
    flags.embeddings,
  );

  using loaded = await loadForFlags(flags);
  const { gpu, embedder, dim, imgSize } = loaded;
  const reading = { imgSize, numWorkers: flags.num_workers };
  const embed = (paths: readonly string[]) => embedWithBar(embedder, paths, reading);
  const paths = pictures.map(picturePath);
  if (known) await checkModel(known, { paths, embed, file: flags.embeddings! });
  const found = await searchGallery(gpu, {
    gallery: known?.gallery ?? await embed(paths),
    queries: await embed(photos),
    dim,
    k: flags.top_k,
  });
  const names = pictureNames(pictures);
  const lines = found.map(({ top, topScores }, i) => {
    const located: Located = {
      picture: photos[i]!,
      top: top.map((j, rank) => ({
        reference: names[j]!,
        score: topScores[rank]!,
        location: references[j]!.location,
      })),
    };
    return JSON.stringify(located);
  });
  if (flags.output === null) { for (const line of lines) say("stdout", line); }
  else await writeFileAtomic(flags.output, lines.map((line) => `${line}\n`).join(""));
}

/**
 * Embeds a few references anew: embeddings of another model, or at another size, tell nothing here.
 *
 * @throws {TypeError} If one differs from the file's by more than precisions do.
 */
async function checkModel(
  { gallery, dim }: Embeddings,
  { paths, embed, file }: {
    paths: readonly string[];
    embed: (paths: readonly string[]) => Promise<Float32Array>;
    file: string;
  },
): Promise<void> {
  const rows = [...new Set([0, 1, 2, 3].map((i) => Math.floor(i * paths.length / 4)))];
  const anew = await embed(rows.map((row) => paths[row]!));
  if (anew.length !== rows.length * dim) {
    throw new TypeError(
      `Cannot use ${file}: its embeddings have ${dim} values, expected this model's ` +
        `${anew.length / rows.length}`,
    );
  }
  rows.forEach((row, i) => {
    let cosine = 0;
    for (let d = 0; d < dim; d++) cosine += gallery[row * dim + d]! * anew[i * dim + d]!;
    if (cosine >= SAME_MODEL) return;
    throw new TypeError(
      `Cannot use ${file}: its embedding of ${paths[row]} is another model's, its cosine with ` +
        `this one's is ${cosine.toFixed(3)}, expected ${SAME_MODEL} or more`,
    );
  });
}

if (import.meta.main) await runScript(main);
