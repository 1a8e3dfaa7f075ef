/**
 * JSON of which anything may be wrong, and errors about it that stay one short line.
 *
 * @module
 */

/**
 * Parses JSON.
 *
 * @throws {SyntaxError} If it is not JSON; the message is one line.
 */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) { // the parser quotes the text, line ends and all
    throw new SyntaxError(printable((cause as Error).message), { cause });
  }
}

/** A value of a file as JSON, for a message: without control characters, and cut off. */
export function show(value: unknown): string {
  const text = printable(JSON.stringify(value) ?? `${value}`);
  return text.length > 80 ? `${text.slice(0, 80)}...` : text;
}

function printable(text: string): string {
  return text.replaceAll(/\p{Cc}+/gu, " ");
}
