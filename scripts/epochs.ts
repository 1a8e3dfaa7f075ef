/**
 * The batches of a run, which are all known before its first step.
 *
 * @module
 */
import type { Entry, Pair } from "../data/pairs.ts";
import { createSampler, type Sampler, type SamplerState } from "../data/sampler.ts";
import type { TrainFlags } from "./train_flags.ts";

/** What batches are made of. */
export interface BatchSource {
  flags: TrainFlags;
  pairs: readonly Pair[];
  entries: readonly Entry[];
}

/** What a sampler draws in all epochs of a run. */
export interface Epochs {
  /** Batches. */
  batches: number;
  /** Pairs that are in none of them. */
  missed: number;
}

/** Batches drawn where this many would hold all pairs of all epochs: more is worth a warning. */
const ROOM = 1.5;

/** The sampler of a run, at its beginning or in this state. */
export function samplerOf({ flags, pairs, entries }: BatchSource, state?: SamplerState): Sampler {
  return createSampler({
    pairs,
    entries,
    batchSize: flags.batch_size,
    sampling: flags.sampling,
    seed: flags.seed,
    ...(state && { state }),
  });
}

/**
 * Draws all epochs: the schedule must know their batches before the first step.
 *
 * @throws {RangeError} If no batch can be filled.
 */
export function drawEpochs(source: BatchSource): Epochs {
  const { flags, pairs, entries } = source;
  if (pairs.length === 0) {
    throw new RangeError(
      `Cannot train on ${flags.train_pairs_meta_file}: its ${entries.length} entries make 0 pairs ` +
        `with --train_mode ${flags.train_mode}, expected 1 or more`,
    );
  }
  const sampler = samplerOf(source);
  const missed = new Set(pairs.keys());
  let batches = 0;
  for (let epoch = 0; epoch < flags.epochs; epoch++) {
    const drawn = sampler.nextEpoch().batches;
    batches += drawn.length;
    for (const batch of drawn) {
      for (const pair of batch) missed.delete(pair);
    }
  }
  return { batches, missed: missed.size };
}

/** A line, or none: where the ground has too little room for a batch, pairs are trained unevenly. */
export function roomWarnings(
  { batches, missed }: Epochs,
  { flags: { batch_size: size, epochs }, pairs }: BatchSource,
): string[] {
  const enough = Math.ceil(epochs * pairs.length / size);
  // The last epoch leaves a rest that no other takes up.
  const rest = Math.max(size, pairs.length / 10);
  if (batches <= ROOM * enough && missed <= rest) return [];
  return [
    `many pairs share ground: batches of ${size} make ${batches} steps, ${enough} if all ` +
    `${pairs.length} pairs fitted, and ${missed} pairs are in none; a smaller --batch_size trains ` +
    "on all of them alike",
  ];
}
