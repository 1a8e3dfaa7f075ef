/**
 * Embeds the pictures of a pairs file, or any pictures.
 *
 *     deno task embed --adapter FOLDER --test_pairs_meta_file test.json --data_root data --output e.safetensors
 *     deno task embed --adapter FOLDER --pictures photos --output e.safetensors
 *
 * @module
 */
import { checkRoots } from "../data/check_pictures.ts";
import { picturePath } from "../data/pairs.ts";
import { type NamedEmbeddings, pictureNames, toTensors } from "../eval/embeddings.ts";
import { adapterFiles } from "../model/adapter.ts";
import { writeSafetensors } from "../model/safetensors.ts";
import { parseFlags, refuseUnused, runScript, UsageError } from "./cli.ts";
import { embedProtocol, embedWithBar, picturesOf, protocolOf } from "./evaluation.ts";
import { checkImgSize, DATA_FLAGS, readEntries } from "./flags.ts";
import { hasModel, INFERENCE_FLAGS, loadForFlags } from "./inference.ts";
import { layoutsFile } from "./layouts.ts";
import { checkOutputs } from "./outputs.ts";
import { folderOf, keepOnly, keepReading, modelFiles, rootsOf } from "./permissions.ts";
import { expandFolders } from "./photos.ts";

/** Flags of the command. */
export const FLAGS = {
  adapter: { type: "string", unit: "folder", help: "adapter to embed with" },
  ...DATA_FLAGS,
  pictures: {
    type: "strings",
    unit: "path",
    help: "picture or folder of pictures to embed as queries; may be repeated",
  },
  ...INFERENCE_FLAGS,
  output: { type: "string", unit: "file", required: true, help: "safetensors file to write" },
} as const;

/** What it is called and does. */
export const COMMAND = { name: "embed", summary: "embeds pictures, or those of a pairs file" };

/** Runs the command. */
export async function main(args: string[]): Promise<void> {
  const flags = parseFlags(COMMAND, FLAGS, args);
  const file = flags.test_pairs_meta_file;
  if ((file === null) === (flags.pictures.length === 0)) {
    throw new UsageError("Cannot run embed: give either --test_pairs_meta_file or --pictures");
  }
  if (!hasModel(flags)) {
    throw new UsageError("Cannot run embed: give --adapter, or --model for a backbone as it is");
  }
  checkImgSize(flags.img_size, "embed");
  checkOutputs(
    [flags.output],
    [file, flags.weights, ...flags.pictures, ...adapterFiles(flags.adapter)],
  );
  if (file === null) refuseUnused("embed", flags, DATA_FLAGS, "belongs to --test_pairs_meta_file");
  await keepOnly({
    write: [folderOf(flags.output), folderOf(layoutsFile())],
    pictures: true,
    gpu: flags.gpu,
  });
  const source = { dataRoot: flags.data_root, allowOutsideRoot: flags.allow_outside_root };
  const protocol = file === null ? null : protocolOf(await readEntries(file, source), flags);
  const paths = expandFolders(flags.pictures);
  const listed = protocol && picturesOf(protocol);
  checkOutputs([flags.output], [...paths, ...listed?.map(picturePath) ?? []]);
  if (listed) checkRoots(listed);
  const roots = listed ? rootsOf(listed, flags.allow_outside_root) : flags.pictures;
  keepReading([...roots, ...modelFiles(flags)]);

  using loaded = await loadForFlags(flags);
  const { embedder, imgSize } = loaded;
  const reading = { imgSize, numWorkers: flags.num_workers };
  let named: NamedEmbeddings;
  if (protocol) {
    const namesOf = (items: typeof protocol.gallery) =>
      pictureNames(items.map(({ picture }) => picture));
    named = {
      ...await embedProtocol(embedder, protocol, reading),
      queryNames: namesOf(protocol.queries),
      galleryNames: namesOf(protocol.gallery),
    };
  } else {
    const query = await embedWithBar(embedder, paths, reading);
    const gallery = new Float32Array();
    named = { query, gallery, dim: embedder.dim, queryNames: paths, galleryNames: [] };
  }
  const { tensors, metadata } = toTensors(named);
  await writeSafetensors(flags.output, tensors, metadata);
  console.error(
    `embedded ${named.queryNames.length} queries, ${named.galleryNames.length} references ` +
      `-> ${flags.output}`,
  );
}

if (import.meta.main) await runScript(main);
