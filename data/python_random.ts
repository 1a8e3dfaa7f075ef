const N = 624;
const M = 397;

/**
 * Python's `random.Random`, as far as it shuffles.
 *
 * `new PythonRandom(42).shuffle(list)` leaves a list in the order of `random.seed(42)` and
 * `random.shuffle(list)` in CPython 3.2 and later.
 *
 * @see Matsumoto and Nishimura 1998, "Mersenne Twister", doi:10.1145/272991.272995
 * @see https://github.com/python/cpython/blob/3.11/Lib/random.py
 */
export class PythonRandom {
  readonly #state = new Uint32Array(N);
  #next = N;

  /**
   * @param seed As given to `random.seed`; its sign is ignored there too.
   * @throws {RangeError} If the seed is not an integer that a double holds exactly.
   */
  constructor(seed: number) {
    if (!Number.isSafeInteger(seed)) {
      throw new RangeError(`Cannot seed Python's random: seed is ${seed}, must be a safe integer`);
    }
    const low = Math.abs(seed) >>> 0;
    const high = Math.floor(Math.abs(seed) / 2 ** 32);
    this.#seedByArray(high === 0 ? [low] : [low, high]);
  }

  /** Reorders the items in place, as `random.shuffle(items)`. */
  shuffle<T>(items: T[]): void {
    for (let i = items.length - 1; i > 0; i--) {
      const j = this.#below(i + 1);
      [items[i], items[j]] = [items[j]!, items[i]!];
    }
  }

  /** An integer in [0, n), as `random.randrange(n)`; n is below 2^32. */
  #below(n: number): number {
    const bits = 32 - Math.clz32(n);
    let value: number;
    do value = this.#word() >>> (32 - bits); while (value >= n);
    return value;
  }

  /** `init_by_array` of the authors' mt19937ar.c, which Python seeds with. */
  #seedByArray(key: readonly number[]): void {
    const state = this.#state;
    state[0] = 19650218;
    for (let i = 1; i < N; i++) state[i] = Math.imul(1812433253, spread(state[i - 1]!)) + i;

    let i = 1;
    const advance = () => {
      if (++i < N) return;
      state[0] = state[N - 1]!;
      i = 1;
    };
    for (let k = 0; k < N; k++) { // N exceeds the length of any key here
      const j = k % key.length;
      state[i] = (state[i]! ^ Math.imul(spread(state[i - 1]!), 1664525)) + key[j]! + j;
      advance();
    }
    for (let k = 0; k < N - 1; k++) {
      state[i] = (state[i]! ^ Math.imul(spread(state[i - 1]!), 1566083941)) - i;
      advance();
    }
    state[0] = 0x80000000;
  }

  /** The next 32 random bits. */
  #word(): number {
    if (this.#next === N) this.#twist();
    let y = this.#state[this.#next++]!;
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  #twist(): void {
    const state = this.#state;
    for (let k = 0; k < N; k++) {
      const y = (state[k]! & 0x80000000) | (state[(k + 1) % N]! & 0x7fffffff);
      state[k] = state[(k + M) % N]! ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    this.#next = 0;
  }
}

function spread(word: number): number {
  return word ^ (word >>> 30);
}
