/**
 * Cuts pairs into batches, anew for each epoch.
 *
 * @module
 */
import { Exclusion, NO_RULE } from "./exclusion.ts";
import type { Entry, Pair } from "./pairs.ts";
import { counterRandom } from "./random.ts";

/** `exclusive`: no batch holds a hidden positive. `random`: any pairs make a batch. */
export type Sampling = "exclusive" | "random";

/** What a sampler carries from one epoch to the next; plain JSON. */
export interface SamplerState {
  /** Epochs drawn so far. */
  epoch: number;
  /** Number of pairs, to notice a state of other data. */
  pairs: number;
  /** Pairs that the last epoch left over, in the order in which they are tried. */
  carried: number[];
}

/** Source of batches. */
export interface Sampler {
  /**
   * Draws an epoch.
   *
   * @returns Batches of indices of pairs, at least one, all of the full size, and the number of
   * pairs that fitted in none and come first in the next epoch.
   */
  nextEpoch(): { batches: number[][]; carried: number };
  /** What {@linkcode createSampler} needs to continue with the next epoch. */
  state(): SamplerState;
}

/** Pairs that a search may look at in vain: about 0.1 s, or 50 times all pairs of a large file. */
const MAX_VISITS = 1e7;

/** Batches of an epoch at most, times those of one in which all pairs fit. */
const LONGEST = 2;

/**
 * Creates a sampler whose batches depend on its input alone, on every machine.
 *
 * Pairs wait in a queue: carried ones first, then the others, shuffled. A batch takes from the
 * front every pair that it can hold beside those it has. If it stays short, its first pair goes to
 * the back and another one leads; when all have led in vain, what is left is carried over. A pair
 * that would be carried twice leads a batch filled up with pairs that the epoch has used already,
 * those first whose use is longest ago: in two epochs every pair is seen for which a full batch is
 * found. But no epoch has more than twice the batches of one in which all pairs fit: where that is
 * too few, pairs take turns over more epochs.
 *
 * In an `exclusive` batch no reference is a positive or semi-positive of another pair's query, and
 * no picture occurs twice, in either role. Virtual copies are one picture.
 *
 * @param input.pairs What to batch: pairs of `entries`.
 * @param input.entries All entries: their references are the hidden positives.
 * @param input.batchSize Pairs of a batch.
 * @param input.seed Of the shuffle, an integer from 0.
 * @param input.state Of a sampler of the same pairs, to continue it.
 * @throws {RangeError} If no full batch is found, or the state is one of other pairs.
 * @see https://github.com/Yux1angJi/GTA-UAV (mutually exclusive sampling; it drops leftovers)
 */
export function createSampler(input: {
  pairs: readonly Pair[];
  entries: readonly Entry[];
  batchSize: number;
  sampling: Sampling;
  seed: number;
  state?: SamplerState;
}): Sampler {
  const { pairs, entries, batchSize, sampling, seed, state } = input;
  if (state !== undefined) checkState(state, pairs.length);
  let { epoch, carried } = state ?? { epoch: 0, carried: [] };
  const rule = sampling === "exclusive" ? new Exclusion(pairs, entries) : NO_RULE;
  const all = [...pairs.keys()];
  let sorted: number[] | null = null;
  const easiest = () => sorted ??= all.toSorted((a, b) => rule.cost(a) - rule.cost(b));

  let visits = 0;
  let largest = 0;
  /** The first candidates that fit together, or null if they do not fill a batch. */
  const firstFit = (candidates: Iterable<number>): number[] | null => {
    const batch: number[] = [];
    rule.start();
    for (const pair of candidates) {
      visits++;
      if (rule.take(pair) && batch.push(pair) === batchSize) return batch;
    }
    largest = Math.max(largest, batch.length);
    return null;
  };

  const findBatch = (): number[] => {
    const first = firstFit(all);
    if (first !== null) return first;
    for (const leader of pairs.length < batchSize ? [] : easiest()) {
      const batch = firstFit(chain([leader], easiest()));
      if (batch !== null) return batch;
      if (visits > MAX_VISITS) break;
    }
    throw new RangeError(
      `Cannot make ${sampling} batches of ${batchSize} from ${pairs.length} pairs: the largest ` +
        `found has ${largest}, lower --batch_size` +
        (sampling === "exclusive" ? " or use --sampling random" : ""),
    );
  };
  const spare = findBatch(); // for an epoch that finds none

  return {
    state: () => ({ epoch, pairs: pairs.length, carried: [...carried] }),
    nextEpoch() {
      const queue = new Set(carried); // a Set keeps its order and removes in constant time
      const others = all.filter((pair) => !queue.has(pair));
      shuffle(others, counterRandom(seed, epoch++));
      for (const pair of others) queue.add(pair);

      const batches: number[][] = [];
      const accept = (batch: number[]) => {
        for (const pair of batch) queue.delete(pair);
        batches.push(batch);
      };
      for (let failures = 0, wasted = 0; failures < queue.size && wasted < MAX_VISITS;) {
        const batch = firstFit(queue);
        if (batch !== null) {
          accept(batch);
        } else {
          const [leader] = queue;
          moveToBack(queue, leader!);
          failures++;
          wasted += queue.size;
        }
      }
      const used = new Set(batches.flat());
      const most = LONGEST * Math.ceil(pairs.length / batchSize);
      visits = 0;
      for (const leader of carried) {
        if (batches.length >= most || visits > MAX_VISITS) break;
        if (!queue.has(leader)) continue;
        const batch = firstFit(chain([leader], queue, used)) ??
          firstFit(chain([leader], easiest()));
        if (batch === null) continue;
        accept(batch);
        for (const pair of batch) moveToBack(used, pair);
      }
      if (batches.length === 0) accept(spare);
      carried = [...queue];
      return { batches, carried: carried.length };
    },
  };
}

function* chain(...parts: Iterable<number>[]): Generator<number> {
  for (const part of parts) yield* part;
}

/** Adds it where it is not there. */
function moveToBack(set: Set<number>, item: number): void {
  set.delete(item);
  set.add(item);
}

/** Fisher and Yates, in place. */
function shuffle(items: number[], random: () => number): void {
  for (let i = items.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [items[i], items[j]] = [items[j]!, items[i]!];
  }
}

function checkState({ epoch, pairs, carried }: SamplerState, expected: number): void {
  const isIndex = (pair: number) => Number.isInteger(pair) && pair >= 0 && pair < expected;
  if (
    pairs !== expected || !Number.isSafeInteger(epoch) || epoch < 0 ||
    !Array.isArray(carried) || !carried.every(isIndex) || new Set(carried).size !== carried.length
  ) {
    throw new RangeError(
      `Cannot restore the sampler: its state is of ${pairs} pairs at epoch ${epoch}, ` +
        `expected ${expected} pairs and distinct carried ones among them`,
    );
  }
}
