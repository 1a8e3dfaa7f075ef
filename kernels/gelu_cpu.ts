/**
 * The error function, to 1e-15: the series without cancellation.
 *
 * @see Abramowitz & Stegun 1964, 7.1.6
 */
function erf(x: number): number {
  if (Math.abs(x) > 6) return Math.sign(x); // 1 - erf(6) = 2e-17
  let term = x;
  let sum = x;
  for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
    term *= 2 * x * x / (2 * n + 1);
    sum += term;
  }
  return 2 / Math.sqrt(Math.PI) * Math.exp(-x * x) * sum;
}

function normalCdf(x: number): number {
  return 0.5 * (1 + erf(x / Math.SQRT2));
}

/** GELU with the exact erf, in f64. */
export function gelu(x: number): number {
  return x * normalCdf(x);
}

/** Derivative of {@linkcode gelu}, in f64. */
export function geluGrad(x: number): number {
  return normalCdf(x) + x * Math.exp(-0.5 * x * x) / Math.sqrt(2 * Math.PI);
}
