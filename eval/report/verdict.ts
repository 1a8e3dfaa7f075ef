/**
 * Whether an answer is right.
 *
 * @module
 */
import type { Truth } from "../ranks.ts";

/** `semi`: a semi-positive that the eval mode does not count. */
export type Verdict = "right" | "semi" | "wrong";

/** Signs that tell verdicts apart without colour. */
export const SIGNS: Readonly<Record<Verdict, string>> = { right: "✓", semi: "≈", wrong: "✕" };

/** Verdict on a reference, by its index in the gallery. */
export function verdictOf({ positives, semiPositives }: Truth, reference: number): Verdict {
  if (positives.includes(reference)) return "right";
  return semiPositives.includes(reference) ? "semi" : "wrong";
}
