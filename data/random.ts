const WORD = 2 ** 32;

/** A bijection of 32-bit words in which each input bit flips each output bit with odds near 1/2. */
function mix(word: number): number {
  word = Math.imul(word ^ (word >>> 16), 0x21f0aaad);
  word = Math.imul(word ^ (word >>> 15), 0xd35a2d97);
  return word ^ (word >>> 15);
}

/**
 * Uniform random numbers in [0, 1) that depend on the keys and on nothing else.
 *
 * The n-th number is a hash of (keys, n) in 32-bit integer arithmetic, so a sample keyed by, for
 * example, (seed, epoch, entry, duplicate) is the same on every machine, in whichever worker makes
 * it and whatever was drawn before. Key lists of different lengths differ too. Not for secrets.
 *
 * @param keys Non-negative integers, in an order that the caller keeps.
 * @returns A function whose n-th call gives the n-th number, a multiple of 2^-32.
 * @throws {RangeError} If a key is not an integer from 0 to 2^53 - 1.
 * @see Wellons and others, https://github.com/skeeto/hash-prospector (the constants of the hash)
 * @see Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3" (counters as generators)
 */
export function counterRandom(...keys: number[]): () => number {
  // Two words of state: with one, some of the 10^5 samples of a run would share their numbers.
  let high = 0x243f6a88; // the first digits of pi, as good as any
  let low = 0x85a308d3;
  for (const key of keys) {
    if (!Number.isSafeInteger(key) || key < 0) {
      throw new RangeError(
        `Cannot draw random numbers: key is ${key}, must be an integer from 0 to 2^53 - 1`,
      );
    }
    for (const word of [key % WORD, Math.floor(key / WORD)]) {
      high = mix(high ^ word);
      low = mix(low + high);
    }
  }
  let counter = 0;
  return () => {
    counter = (counter + 0x9e3779b9) | 0; // odd, so every counter comes once in 2^32 draws
    return (mix(mix(high + counter) ^ low) >>> 0) / WORD;
  };
}

/** A number uniform in [low, high). */
export function between([low, high]: readonly [number, number], random: () => number): number {
  return low + (high - low) * random();
}

/** A whole number from low to high, both included, each as likely as the others. */
export function integer(low: number, high: number, random: () => number): number {
  return low + Math.floor(random() * (high - low + 1));
}
