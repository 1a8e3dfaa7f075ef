/**
 * `eval --layout university`: test sets in the folders of University-1652, or of UniV's videos.
 *
 * @module
 */
import { loadPictures } from "../data/loader.ts";
import { turnOfOrientation, turnPixels } from "../data/pixels.ts";
import { evaluate } from "../eval/evaluate.ts";
import { checkQuery } from "../eval/rank_image.ts";
import {
  answerText,
  embedUniversity,
  readUniversity,
  universityLines,
  universityProtocol,
} from "../eval/university.ts";
import { DEFAULT_INPUT, readAdapter } from "../model/adapter.ts";
import { writeFileAtomic } from "../model/files.ts";
import { type FlagValues, UsageError } from "./cli.ts";
import type { Evaluated } from "./evaluation.ts";
import { type InferenceFlags, loadForFlags } from "./inference.ts";
import { keepReading, modelFiles } from "./permissions.ts";
import { Progress } from "./progress.ts";

/** Flags of this layout. */
export const UNIVERSITY_FLAGS = {
  test_dir: {
    type: "string",
    unit: "folder",
    help: "university: holds query_drone, gallery_satellite, ...",
  },
  task: {
    type: "string",
    default: "drone2sate",
    choices: ["drone2sate", "sate2drone"],
    help: "university: direction of a University-1652 test",
  },
  drone_view: {
    type: "string",
    default: "drone",
    help: "university: its folders are query_NAME, gallery_NAME",
  },
  video: {
    type: "string",
    choices: ["mean"],
    help: "university: one item a building: the mean of its frames",
  },
  flip: {
    type: "boolean",
    help: "university: sum the features of each picture and its mirror image",
  },
  ms: {
    type: "string",
    default: "1",
    unit: "s,s,…",
    help: "university: sum over sides of √s times img_size",
  },
  answer: {
    type: "string",
    unit: "file",
    help: "university: write the names of each query's ten best",
  },
  answer_format: {
    type: "string",
    default: "tab",
    choices: ["tab", "space"],
    help: "university: names between tabs, or between spaces and without extension",
  },
} as const;

/** Values of {@linkcode UNIVERSITY_FLAGS}, and of the model's. */
export interface UniversityFlags extends FlagValues<typeof UNIVERSITY_FLAGS>, InferenceFlags {
  num_workers: number;
  rank_image: number | null;
}

/**
 * Embeds, ranks, prints the published lines, and writes the answer file.
 *
 * @throws {UsageError} If flags are missing or wrong.
 */
export async function evaluateUniversity(flags: UniversityFlags): Promise<Evaluated> {
  if (flags.test_dir === null) {
    throw new UsageError("Cannot run eval: --layout university needs --test_dir");
  }
  keepReading([flags.test_dir, ...modelFiles(flags)]);
  const sides = await scaledSides(flags);
  const university = readUniversity(flags.test_dir, {
    task: flags.task,
    video: flags.video === "mean",
    droneView: flags.drone_view,
  });
  const protocol = universityProtocol(university);
  if (flags.rank_image !== null) checkQuery(protocol, flags.rank_image);
  const embeddings = await embedUniversity(university, (paths) => sumOfViews(paths, sides, flags));
  const evaluation = await evaluate({ protocol, embeddings });
  for (const line of universityLines(evaluation.rankings, university)) console.log(line);
  if (flags.answer !== null) {
    const format = flags.answer_format;
    await writeFileAtomic(
      flags.answer,
      answerText(evaluation.rankings, university.gallery, format),
    );
    console.error(`answers: ${flags.answer}`);
  }
  return { protocol, embeddings, evaluation };
}

/** Sides of the input for every scale, in whole patches: a ViT has no others. */
async function scaledSides({ ms, img_size, adapter }: UniversityFlags): Promise<number[]> {
  const input = adapter === null ? null : (await readAdapter(adapter)).input;
  const side = img_size ?? input?.imgSize ?? DEFAULT_INPUT.imgSize;
  return ms.split(",").map((text) => {
    const scale = Number(text);
    if (!(scale > 0)) {
      throw new UsageError(
        `Cannot run eval: --ms must be scales above 0, such as 1,1.1: got "${ms}"`,
      );
    }
    return Math.max(16, Math.round(side * Math.sqrt(scale) / 16) * 16);
  });
}

/** Sums of features over scales and, with --flip, mirror images; see `EmbedPictures`. */
async function sumOfViews(
  paths: readonly string[],
  sides: readonly number[],
  flags: UniversityFlags,
): Promise<Float32Array> {
  let sums = new Float32Array();
  for (const imgSize of sides) {
    using loaded = await loadForFlags({ ...flags, img_size: imgSize });
    const { embedder } = loaded;
    if (sums.length === 0) sums = new Float32Array(paths.length * embedder.dim);
    const progress = new Progress(`embed at ${imgSize} px`);
    const reading = { imgSize, numWorkers: flags.num_workers, batchSize: embedder.images };
    let done = 0;
    for await (const { pixels, count } of loadPictures(paths, reading)) {
      const used = pixels.subarray(0, count * imgSize * imgSize * 3);
      add(sums, done * embedder.dim, await embedder.features(used));
      if (flags.flip) {
        const column = { width: imgSize, height: count * imgSize }; // of the pictures, as one
        const mirrored = turnPixels(used, column, turnOfOrientation(2));
        add(sums, done * embedder.dim, await embedder.features(mirrored));
      }
      done += count;
      progress.show({ done, total: paths.length, words: [] });
    }
    progress.end();
  }
  return sums;
}

function add(sums: Float32Array, start: number, values: Float32Array): void {
  values.forEach((value, i) => sums[start + i]! += value);
}
