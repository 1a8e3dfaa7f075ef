/**
 * Finds where photos were taken: the references that each is most like, and their places.
 *
 *     deno task locate --adapter FOLDER --references test.json --data_root data --pictures photos
 *
 * @module
 */
import { checkRoots } from "../data/check_pictures.ts";
import { type Location, picturePath } from "../data/pairs.ts";
import { pictureNames } from "../eval/embeddings.ts";
import { galleryOf } from "../eval/protocol.ts";
import { searchGallery } from "../kernels/search.ts";
import { adapterFiles } from "../model/adapter.ts";
import { writeFileAtomic } from "../model/files.ts";
import { parseFlags, runScript, UsageError } from "./cli.ts";
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
  top_k: { type: "integer", default: 5, min: 1, help: "references to name for each photo" },
  output: { type: "string", unit: "file", help: "write there, not to stdout" },
  ...INFERENCE_FLAGS,
} as const;

/** What it is called and does. */
export const COMMAND = {
  name: "locate",
  summary: "finds where photos were taken, among the references of a pairs file",
};

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
    [flags.references, flags.weights, ...flags.pictures, ...adapterFiles(flags.adapter)],
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
  keepReading([...roots, ...flags.pictures, ...modelFiles(flags)]);

  using loaded = await loadForFlags(flags);
  const { gpu, embedder, dim, imgSize } = loaded;
  const reading = { imgSize, numWorkers: flags.num_workers };
  const found = await searchGallery(gpu, {
    gallery: await embedWithBar(embedder, pictures.map(picturePath), reading),
    queries: await embedWithBar(embedder, photos, reading),
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

if (import.meta.main) await runScript(main);
