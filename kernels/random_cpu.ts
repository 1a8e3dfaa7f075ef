/** The finaliser of MurmurHash3: a bijection of 32-bit numbers that leaves no pattern. */
function mix(x: number): number {
  x ^= x >>> 16;
  x = Math.imul(x, 0x85EBCA6B);
  x ^= x >>> 13;
  x = Math.imul(x, 0xC2B2AE35);
  return (x ^ (x >>> 16)) >>> 0;
}

/**
 * Key of the dropout mask of one stream at one step, as `dropout_key` in `random.wgsl`.
 *
 * @param seed Of the run, 32 bits.
 * @param step Optimiser step, from 0.
 * @param stream Number of the layer whose input is dropped.
 */
export function dropoutKey(seed: number, step: number, stream: number): number {
  return mix(mix(mix(seed ^ 0x9E3779B9) ^ step) ^ stream);
}

/**
 * Dropout factor of one element, as `keep` in `random.wgsl`.
 *
 * @param key From {@linkcode dropoutKey}.
 * @param element Row-major index in the layer's input, 32 bits.
 * @param rate Probability of 0, in [0, 1).
 * @returns 0 or 1 / (1 - rate), rounded as f32 arithmetic rounds it.
 */
export function keep(key: number, element: number, rate: number): number {
  const uniform = (mix(mix(element ^ key) ^ key) >>> 8) * 2 ** -24;
  const rate32 = Math.fround(rate);
  return uniform >= rate32 ? Math.fround(1 / Math.fround(1 - rate32)) : 0;
}
