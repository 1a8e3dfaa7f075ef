import { type Entry, type Pair, type Picture, pictureKey } from "./pairs.ts";

/** Which pairs one batch can hold; pairs go by their index. */
export interface BatchRule {
  /** Begins an empty batch. */
  start(): void;
  /** Adds a pair, or returns false if the batch cannot hold it. */
  take(pair: number): boolean;
  /** How much a pair excludes, to order pairs by. */
  cost(pair: number): number;
}

/** A batch can hold any pairs. */
export const NO_RULE: BatchRule = { start() {}, take: () => true, cost: () => 0 };

/**
 * A batch holds no reference that is a positive or semi-positive of another pair's query, and no
 * picture twice, in either role.
 */
export class Exclusion implements BatchRule {
  readonly #ids = new Map<string, number>();
  /** Of each picture as a query, its references; of each as a reference, its queries. */
  readonly #references: Set<number>[] = [];
  readonly #queries: Set<number>[] = [];
  readonly #pairs: readonly (readonly [query: number, reference: number])[];
  /** The latest batch that a picture must not join as a query, or as a reference. */
  readonly #noQuery: Int32Array;
  readonly #noReference: Int32Array;
  #batch = 0;

  constructor(pairs: readonly Pair[], entries: readonly Entry[]) {
    for (const { query, references } of entries) {
      const from = this.#idOf(query);
      for (const { picture } of references) {
        const to = this.#idOf(picture);
        this.#references[from]!.add(to);
        this.#queries[to]!.add(from);
      }
    }
    this.#pairs = pairs.map((pair) => [this.#idOf(pair.query), this.#idOf(pair.reference)]);
    this.#noQuery = new Int32Array(this.#ids.size);
    this.#noReference = new Int32Array(this.#ids.size);
  }

  start(): void {
    this.#batch++;
  }

  take(pair: number): boolean {
    const [query, reference] = this.#pairs[pair]!;
    const batch = this.#batch;
    if (this.#noQuery[query] === batch || this.#noReference[reference] === batch) return false;
    for (const other of this.#queries[reference]!) this.#noQuery[other] = batch;
    for (const other of this.#references[query]!) this.#noReference[other] = batch;
    for (const picture of [query, reference]) {
      this.#noQuery[picture] = batch;
      this.#noReference[picture] = batch;
    }
    return true;
  }

  cost(pair: number): number {
    const [query, reference] = this.#pairs[pair]!;
    return this.#references[query]!.size + this.#queries[reference]!.size;
  }

  #idOf(picture: Picture): number {
    const key = pictureKey(picture);
    const known = this.#ids.get(key);
    if (known !== undefined) return known;
    this.#references.push(new Set());
    this.#queries.push(new Set());
    this.#ids.set(key, this.#references.length - 1);
    return this.#references.length - 1;
  }
}
