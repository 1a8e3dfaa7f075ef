/**
 * One colour a source, the same in all parts of a report.
 *
 * @module
 */

/** Colours that the style sheet has for sources, as `--source0` and so on. */
const COLOURS = 6;

/** CSS colour of each source. */
export function sourceColours(sources: readonly string[]): Map<string, string> {
  return new Map(sources.map((source, i) => [source, `var(--source${i % COLOURS})`]));
}
