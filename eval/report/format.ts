/**
 * Numbers as people read them; a dash where there is none.
 *
 * @module
 */

/** A number or its absence. */
export type MaybeNumber = number | null | undefined;

/** Stands for what there is not. */
export const MISSING = "–";

/** So many digits after the point, and thousands apart: `80.95`, `2,091`. */
export function fixed(value: MaybeNumber, digits: number): string {
  if (!isKnown(value)) return MISSING;
  return value.toLocaleString("en-US", {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
    signDisplay: "negative", // no "-0.00"
  });
}

/** Four digits of a number of any size: `6.931`, `3e-4`. */
export function short(value: MaybeNumber): string {
  if (!isKnown(value)) return MISSING;
  const rounded = Number(value.toPrecision(4));
  return Math.abs(rounded) < 1e-3 && rounded !== 0 ? rounded.toExponential() : `${rounded}`;
}

/** A distance: `3.4 m`, `120 m`, `5.1 km`. */
export function metres(value: MaybeNumber): string {
  if (!isKnown(value)) return MISSING;
  const [length, unit] = value < 999.5 ? [value, "m"] : [value / 1000, "km"];
  return `${length.toFixed(length < 9.95 ? 1 : 0)} ${unit}`;
}

function isKnown(value: MaybeNumber): value is number {
  return Number.isFinite(value);
}
