import { readText } from "../data/read.ts";
import { parseMetrics, reportHtml, type ReportInput } from "../eval/report.ts";
import { writeFileAtomic } from "../model/files.ts";
import type { RunFolder } from "./run_folder.ts";

/**
 * Writes `report.html` of a run after an evaluation. A report that fails is a warning: the run goes
 * on.
 */
export async function writeRunReport(
  folder: RunFolder,
  input: Pick<ReportInput, "config" | "evaluation" | "seed">,
): Promise<void> {
  try {
    const metrics = parseMetrics(await readText(folder.join("metrics.jsonl")));
    const html = await reportHtml({ ...input, ...metrics, title: folder.path });
    await writeFileAtomic(folder.join("report.html"), html);
  } catch (error) {
    folder.note(`warning: no report was written: ${(error as Error).message}`);
  }
}
