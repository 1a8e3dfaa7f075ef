/**
 * Evaluates an adapter, a backbone as it is, or embeddings that anything made, on a pairs file.
 *
 *     deno task eval --adapter work_dir/lora/…/final --test_pairs_meta_file test.json --data_root data
 *     deno task eval --model vits16 --test_pairs_meta_file test.json --data_root data
 *     deno task eval --embeddings embeddings.safetensors --test_pairs_meta_file test.json
 *
 * @module
 */
import { checkRoots } from "../data/check_pictures.ts";
import { jsonLines } from "../data/json.ts";
import { alignEmbeddings } from "../eval/embeddings.ts";
import { evaluate } from "../eval/evaluate.ts";
import { resultLines } from "../eval/lines.ts";
import { predictionsOf } from "../eval/predictions.ts";
import { checkQuery, rankImage } from "../eval/rank_image.ts";
import { reportHtml } from "../eval/report.ts";
import { adapterFiles } from "../model/adapter.ts";
import { writeFileAtomic } from "../model/files.ts";
import { type FlagValues, parseFlags, refuseUnused, runScript, UsageError } from "./cli.ts";
import { readEmbeddings } from "./embeddings_file.ts";
import { type Evaluated, evaluateWith, picturesOf, protocolOf } from "./evaluation.ts";
import { checkImgSize, DATA_FLAGS, readEntries } from "./flags.ts";
import { evaluateUniversity, UNIVERSITY_FLAGS } from "./eval_university.ts";
import { hasModel, INFERENCE_FLAGS, loadForFlags } from "./inference.ts";
import { layoutsFile } from "./layouts.ts";
import { checkOutputs } from "./outputs.ts";
import { folderOf, keepOnly, keepReading, modelFiles, rootsOf } from "./permissions.ts";

/** Flags that only `--layout pairs` knows. */
const PAIRS_FLAGS = {
  ...DATA_FLAGS,
  embeddings: {
    type: "string",
    unit: "file",
    help: "embeddings to evaluate instead, without a GPU",
  },
  radius: { type: "string", unit: "m,m,…", help: "count recall within these distances too" },
} as const;

/** Flags of the command. */
export const FLAGS = {
  layout: {
    type: "string",
    default: "pairs",
    choices: ["pairs", "university"],
    help: "a pairs file, or folders of University-1652",
  },
  adapter: { type: "string", unit: "folder", help: "adapter to evaluate" },
  ...PAIRS_FLAGS,
  ...UNIVERSITY_FLAGS,
  ...INFERENCE_FLAGS,
  json: { type: "string", unit: "file", help: "write every number" },
  predictions: {
    type: "string",
    unit: "file",
    help: "write a JSON line a query: rank, its ten best with score, place and metres",
  },
  report: { type: "string", unit: "file", help: "write a report as one HTML page" },
  rank_image: {
    type: "integer",
    unit: "query",
    min: 0,
    help: "write rank_QUERY.png: its ten best; the first query of the test is 0",
  },
} as const;
type Flags = FlagValues<typeof FLAGS>;

/** What it is called and does. */
export const COMMAND = { name: "eval", summary: "evaluates an adapter, a backbone or embeddings" };

/** Runs the command. */
export async function main(args: string[]): Promise<void> {
  const flags = parseFlags(COMMAND, FLAGS, args);
  checkLayout(flags);
  if (hasModel(flags) === (flags.embeddings !== null)) {
    throw new UsageError(
      "Cannot run eval: give either --adapter, or --model for a backbone as it is, or --embeddings",
    );
  }
  if (flags.embeddings !== null) {
    refuseUnused("eval", flags, INFERENCE_FLAGS, "belongs to a model, got --embeddings");
  }
  checkImgSize(flags.img_size, "eval");
  const written = [flags.json, flags.predictions, flags.report, flags.answer];
  checkOutputs(
    written,
    [
      ...[flags.test_pairs_meta_file, flags.embeddings, flags.weights],
      ...adapterFiles(flags.adapter),
    ],
  );
  await keepOnly({
    write: [
      ...[...written, layoutsFile()].map(folderOf),
      flags.rank_image === null ? null : ".",
    ],
    pictures: true,
    gpu: flags.gpu,
  });
  const radii = parseRadii(flags.radius);
  const evaluated = flags.layout === "university"
    ? await evaluateUniversity(flags)
    : await evaluatePairs(flags, radii);
  const { metrics } = evaluated.evaluation;
  for (const line of resultLines(metrics, radii)) console.log(line);
  if (flags.json !== null) {
    await writeFileAtomic(flags.json, JSON.stringify(metrics, null, 2) + "\n");
  }
  if (flags.predictions !== null) {
    const predictions = predictionsOf(evaluated.protocol, evaluated.evaluation);
    await writeFileAtomic(flags.predictions, jsonLines(predictions));
    console.error(`predictions: ${flags.predictions}`);
  }
  if (flags.report !== null) {
    const html = await reportHtml({
      title: flags.adapter ?? flags.embeddings ?? flags.model ?? "",
      config: flags,
      steps: [],
      evaluations: [],
      evaluation: evaluated,
      seed: 0,
    });
    await writeFileAtomic(flags.report, html);
    console.error(`report: ${flags.report}`);
  }
  if (flags.rank_image !== null) {
    const path = `rank_${flags.rank_image}.png`;
    await writeFileAtomic(path, await rankImage({ ...evaluated, query: flags.rank_image }));
    console.error(`ranking: ${path}`);
  }
}

/** Refuses flags of the other layout, which would change nothing. */
function checkLayout(flags: Flags): void {
  const { layout } = flags;
  const [other, specs] = layout === "pairs"
    ? ["university", UNIVERSITY_FLAGS] as const
    : ["pairs", PAIRS_FLAGS] as const;
  refuseUnused("eval", flags, specs, `belongs to --layout ${other}, got --layout ${layout}`);
}

/** Evaluates a pairs file with an adapter, or with a file of embeddings on the CPU. */
async function evaluatePairs(flags: Flags, radii: readonly number[]): Promise<Evaluated> {
  const { test_pairs_meta_file: file, embeddings: path } = flags;
  if (file === null) throw new UsageError("Cannot run eval: --test_pairs_meta_file is missing");
  const entries = await readEntries(file, {
    dataRoot: flags.data_root,
    allowOutsideRoot: flags.allow_outside_root,
  });
  const protocol = protocolOf(entries, flags);
  if (flags.rank_image !== null) checkQuery(protocol, flags.rank_image);
  const pictures = picturesOf(protocol);
  if (path === null) checkRoots(pictures);
  const roots = rootsOf(pictures, flags.allow_outside_root);
  keepReading([...roots, path, ...modelFiles(flags)]);
  if (path !== null) {
    const embeddings = alignEmbeddings(await readEmbeddings(path), protocol, path);
    return { protocol, embeddings, evaluation: await evaluate({ protocol, embeddings, radii }) };
  }
  using loaded = await loadForFlags(flags);
  const reading = { imgSize: loaded.imgSize, numWorkers: flags.num_workers };
  return await evaluateWith(loaded, protocol, reading, radii);
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
