/**
 * What happens to pairs whose pictures cannot be decoded: named, counted, replaced.
 *
 * @module
 */
import type { PictureResult } from "./decode_worker.ts";
import { type Pair, pictureKey, picturePath } from "./pairs.ts";
import { counterRandom, integer } from "./random.ts";

/** Share of the pictures of a run that may be damaged; one always may. */
const LARGEST_SHARE = 0.01;
/** Draws until a pair that shares ground with the batch is taken too: a small set has no other. */
const PATIENCE = 1000;

/** The pictures of a query and a reference, in this order. */
export type PairResult = readonly [PictureResult, PictureResult];

/** Keeps count of damaged pictures and finds pairs to take their place. */
export class Replacer {
  /** Paths of the pictures that could not be decoded, each once. */
  readonly bad: string[] = [];
  readonly #pairs: readonly Pair[];
  readonly #onWarning: (line: string) => void;
  readonly #pictureCount: number;
  #edges: Set<string> | undefined;

  /** @param onWarning Called with one line for each damaged picture. */
  constructor(pairs: readonly Pair[], onWarning: (line: string) => void) {
    this.#pairs = pairs;
    this.#onWarning = onWarning;
    const keys = pairs.flatMap(({ query, reference }) => [query, reference].map(pictureKey));
    this.#pictureCount = new Set(keys).size;
  }

  /**
   * Whether both pictures of a pair are there; notes those that are not.
   *
   * @throws {Error} If more than 1 % of all pictures, and more than one, are damaged, or one of
   * every pair.
   */
  accept(index: number, results: PairResult): boolean {
    const { query, reference } = this.#pairs[index]!;
    for (const [i, result] of results.entries()) {
      if ("error" in result) this.#note(picturePath(i === 0 ? query : reference), result.error);
    }
    return !results.some((result) => "error" in result);
  }

  #note(path: string, reason: string): void {
    if (this.bad.includes(path)) return;
    this.bad.push(path);
    this.#onWarning(`${reason}; another pair takes its place`);
    if (this.bad.length > Math.max(1, LARGEST_SHARE * this.#pictureCount)) {
      throw new Error(
        `Cannot go on: ${this.bad.length} of ${this.#pictureCount} pictures cannot be decoded, ` +
          `at most 1 % may be; the last one: ${reason}`,
      );
    }
    if (!this.#pairs.some((pair) => this.#isWhole(pair))) { // few pictures may be in all pairs
      throw new Error(
        `Cannot go on: each of the ${this.#pairs.length} pairs has a picture that cannot be ` +
          `decoded; the last one: ${reason}`,
      );
    }
  }

  /** Whether no picture of a pair is known to be damaged. */
  #isWhole({ query, reference }: Pair): boolean {
    return ![query, reference].some((picture) => this.bad.includes(picturePath(picture)));
  }

  /**
   * Pairs that could stand in for one of a batch, endlessly: random, and at first none that shares
   * ground with another pair of the batch, as far as the pairs of the run tell: of semi-positives that
   * are not among them it knows nothing. What was found damaged before is drawn too, for a resumed run
   * has not found it: a file that is cut off may be whole down to the end of one crop and not of another.
   *
   * @param others Indices of the other pairs of the batch.
   * @param keys Whatever tells draws apart.
   */
  *candidates(others: readonly number[], keys: readonly number[]): Generator<number> {
    const random = counterRandom(...keys);
    for (let draw = 0;; draw++) {
      const index = integer(0, this.#pairs.length - 1, random);
      if (draw < PATIENCE && others.some((other) => this.#shareGround(index, other))) continue;
      yield index;
    }
  }

  #shareGround(a: number, b: number): boolean {
    const [left, right] = [this.#pairs[a]!, this.#pairs[b]!];
    this.#edges ??= new Set(this.#pairs.map((pair) => edge(pair, pair)));
    return pictureKey(left.query) === pictureKey(right.query) ||
      this.#edges.has(edge(left, right)) || this.#edges.has(edge(right, left));
  }
}

function edge({ query }: Pair, { reference }: Pair): string {
  return `${pictureKey(query)}\n${pictureKey(reference)}`;
}
