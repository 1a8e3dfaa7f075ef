/**
 * What programs that write WGSL write again and again.
 *
 * @module
 */

/** 0 .. n - 1. */
export function count(n: number): number[] {
  return Array.from({ length: n }, (_, i) => i);
}

/** Item 0 .. n - 1, between commas where nothing else is said. */
export function list(n: number, item: (i: number) => string, between = ", "): string {
  return count(n).map(item).join(between);
}

/** Name of a vector's component. */
export function xyzw(i: number): string {
  return "xyzw"[i]!;
}
