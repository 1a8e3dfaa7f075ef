/**
 * Evaluates an adapter, or embeddings that anything made, on a pairs file.
 *
 *     deno task eval --adapter work_dir/lora/…/final --test_pairs_meta_file test.json --data_root data
 *     deno task eval --embeddings embeddings.safetensors --test_pairs_meta_file test.json
 *
 * @module
 */
import { alignEmbeddings, parseEmbeddings } from "../eval/embeddings.ts";
import { evaluate } from "../eval/evaluate.ts";
import { resultLines } from "../eval/lines.ts";
import type { Embeddings } from "../eval/ranks.ts";
import { writeFileAtomic } from "../model/files.ts";
import { readSafetensors, toFloat32 } from "../model/safetensors.ts";
import { parseFlags, runScript, UsageError } from "./cli.ts";
import { embedProtocol, gpuRanker, protocolOf } from "./evaluation.ts";
import { checkImgSize, DATA_FLAGS, MODEL_FLAGS, readEntries } from "./flags.ts";
import { withEmbedder } from "./inference.ts";

const FLAGS = {
  ...DATA_FLAGS,
  test_pairs_meta_file: { ...DATA_FLAGS.test_pairs_meta_file, required: true },
  adapter: { type: "string", unit: "folder", help: "adapter to evaluate" },
  embeddings: {
    type: "string",
    unit: "file",
    help: "embeddings to evaluate instead, without a GPU",
  },
  ...MODEL_FLAGS,
  radius: { type: "string", unit: "m,m,…", help: "count recall within these distances too" },
  json: { type: "string", unit: "file", help: "write every number" },
} as const;

/** Runs the command. */
export async function main(args: string[]): Promise<void> {
  const command = { name: "eval", summary: "evaluates an adapter or embeddings on a pairs file" };
  const flags = parseFlags(command, FLAGS, args);
  if ((flags.adapter === null) === (flags.embeddings === null)) {
    throw new UsageError("Cannot run eval: give either --adapter or --embeddings");
  }
  checkImgSize(flags.img_size, "eval");
  const radii = parseRadii(flags.radius);
  const protocol = protocolOf(
    await readEntries(flags.test_pairs_meta_file, {
      dataRoot: flags.data_root,
      allowOutsideRoot: flags.allow_outside_root,
    }),
    flags,
  );
  const { metrics } = flags.embeddings !== null
    ? await evaluate({
      protocol,
      embeddings: alignEmbeddings(
        await readEmbeddings(flags.embeddings),
        protocol,
        flags.embeddings,
      ),
      radii,
    })
    : await withEmbedder({ ...flags, adapter: flags.adapter! }, async (embedder, gpu) => {
      const reading = { imgSize: flags.img_size, numWorkers: flags.num_workers };
      const embeddings: Embeddings = await embedProtocol(embedder, protocol, reading);
      return await evaluate({ protocol, embeddings, radii, rank: gpuRanker(gpu) });
    });
  for (const line of resultLines(metrics, radii)) console.log(line);
  if (flags.json !== null) {
    await writeFileAtomic(flags.json, JSON.stringify(metrics, null, 2) + "\n");
  }
}

/** Reads a file of embeddings; see `eval/embeddings.ts` for its format. */
async function readEmbeddings(path: string): Promise<ReturnType<typeof parseEmbeddings>> {
  const file = await readSafetensors(path);
  const tensors = new Map(
    [...file.tensors].filter(([name]) => name === "query" || name === "gallery")
      .map(([name, { shape }]) => [name, { shape, data: toFloat32(file, name) }]),
  );
  return parseEmbeddings({ tensors, metadata: file.metadata }, path);
}

function parseRadii(text: string | null): number[] {
  const radii = text === null ? [] : text.split(",").map(Number);
  if (!radii.every((radius) => radius > 0)) {
    throw new UsageError(
      `Cannot run eval: --radius must be metres above 0, such as 25,50: got "${text}"`,
    );
  }
  return radii;
}

if (import.meta.main) await runScript(main);
