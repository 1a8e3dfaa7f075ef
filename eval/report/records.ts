/**
 * The records of a run: `metrics.jsonl`.
 *
 * @module
 */
import type { Metrics } from "../evaluate.ts";

/** A training step. JSON has no NaN: a number that was not finite is null. */
export interface StepRecord {
  /** From 0. */
  step: number;
  epoch: number;
  /** Nats. */
  loss: number | null;
  lr: number | null;
  logit_scale: number | null;
  grad_norm?: number | null;
  images_per_s?: number | null;
}

/** An evaluation. */
export interface EvaluationRecord {
  /** Steps taken before it. */
  step: number;
  /** Epochs finished before it. */
  epoch: number;
  /** `overall`, then each source. */
  metrics: Record<string, Metrics>;
}

/**
 * Parses `metrics.jsonl`. A run that is killed may leave half a line at the end: it is left out.
 *
 * @throws {SyntaxError} If another line is not JSON.
 * @throws {TypeError} If a line is no record.
 */
export function parseMetrics(
  text: string,
): { steps: StepRecord[]; evaluations: EvaluationRecord[] } {
  const steps: StepRecord[] = [];
  const evaluations: EvaluationRecord[] = [];
  const lines = text.split("\n");
  lines.forEach((line, i) => {
    if (line.trim() === "") return;
    let record: unknown;
    try {
      record = JSON.parse(line);
    } catch (cause) {
      if (i === lines.length - 1) return;
      throw new SyntaxError(`Cannot parse metrics: line ${i + 1} is not JSON`, { cause });
    }
    if (isRecord(record, "metrics")) evaluations.push(record as unknown as EvaluationRecord);
    else if (isRecord(record, "loss")) steps.push(record as unknown as StepRecord);
    else {
      throw new TypeError(
        `Cannot parse metrics: line ${i + 1} is ${line.slice(0, 60)}, ` +
          'expected "step" and "loss" or "metrics"',
      );
    }
  });
  return { steps, evaluations };
}

function isRecord(value: unknown, key: string): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && key in value && "step" in value &&
    typeof value.step === "number";
}
