/**
 * Turns an adapter into files for other programs.
 *
 *     deno task export --merged --adapter FOLDER --output merged.safetensors
 *
 * `--merged` writes what timm calls the model's state: the backbone under timm's names with the
 * adapter folded in, and the head as `head.0` and `head.3`, its place in
 * `model.head = nn.Sequential(nn.Linear(…), nn.ReLU(), nn.Dropout(), nn.Linear(…))`. A timm model
 * (`num_classes=0`, and the `_qkvb` one where q or v have a bias) with that head takes the file with
 * `load_state_dict(load_file("merged.safetensors"))`; rows of its output, normalised, are the
 * embeddings.
 *
 * There is no ONNX: no package for JavaScript that writes it is being kept, and PyTorch's exporter
 * does it from the merged file.
 *
 * @module
 */
import { adapterFiles, headTensors, readAdapter } from "../model/adapter.ts";
import { mergeAdapter } from "../model/merge.ts";
import { writeSafetensors } from "../model/safetensors.ts";
import { parseFlags, runScript, UsageError } from "./cli.ts";
import { backboneFor, INFERENCE_FLAGS } from "./inference.ts";
import { checkOutputs } from "./outputs.ts";
import { folderOf, keepOnly, keepReading, modelFiles } from "./permissions.ts";

/** What it is called and does. */
export const COMMAND = { name: "export", summary: "writes an adapter for other programs" };

const { model, weights, depth } = INFERENCE_FLAGS;

/** Flags of the command. */
export const FLAGS = {
  adapter: { type: "string", unit: "folder", required: true, help: "adapter to export" },
  model,
  weights,
  depth,
  merged: { type: "boolean", help: "backbone and adapter in one safetensors file of timm's" },
  onnx: { type: "boolean", help: "not supported; says what to do instead" },
  output: { type: "string", unit: "file", required: true, help: "file to write" },
} as const;

/** Runs the command. */
export async function main(args: string[]): Promise<void> {
  const flags = parseFlags(COMMAND, FLAGS, args);
  if (flags.onnx) {
    throw new UsageError(
      "Cannot export ONNX: no JavaScript package that writes it is kept up, " +
        "export --merged and call torch.onnx.export on the timm model that loads it",
    );
  }
  if (!flags.merged) throw new UsageError("Cannot run export: give --merged");
  checkOutputs([flags.output], [flags.weights, ...adapterFiles(flags.adapter)]);
  await keepOnly({ write: [folderOf(flags.output)] });
  keepReading(modelFiles(flags));
  const adapter = await readAdapter(flags.adapter);
  const backbone = await backboneFor(adapter, flags);
  const tensors = mergeAdapter(backbone, adapter);
  for (const [name, tensor] of adapter.head ? headTensors(adapter.head) : []) {
    tensors.set(name, tensor);
  }
  await writeSafetensors(flags.output, tensors, { format: "pt" });
  console.error(
    `merged ${adapter.modules.length} adapted layers into ${backbone.config.name}` +
      `${adapter.head ? ", with head" : ""} -> ${flags.output}`,
  );
}

if (import.meta.main) await runScript(main);
