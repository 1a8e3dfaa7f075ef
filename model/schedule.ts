/** Learning-rate schedules, stepped once a batch. */
export type Schedule = "cosine" | "constant";

/** Lengths of a run, in optimiser steps. */
export interface ScheduleOptions {
  schedule: Schedule;
  /** Steps from 0 to the full rate; may be a fraction. */
  warmup: number;
  /** Steps of the whole run. */
  total: number;
}

/**
 * Factor of the learning rate at a step, counted from 0: linear warm-up, then half a cosine to 0.
 *
 * The first step runs at rate 0 when there is a warm-up.
 *
 * @see https://github.com/huggingface/transformers optimization.py, get_cosine_schedule_with_warmup
 */
export function scheduleFactor(step: number, { schedule, warmup, total }: ScheduleOptions): number {
  if (step < warmup) return step / Math.max(1, warmup);
  if (schedule === "constant") return 1;
  const progress = (step - warmup) / Math.max(1, total - warmup);
  return Math.max(0, 0.5 * (1 + Math.cos(Math.PI * progress)));
}
