/**
 * Parses JSON of which anything may be wrong.
 *
 * @throws {SyntaxError} If it is not JSON; the message is one line.
 */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) { // the parser quotes the text, line ends and all
    throw new SyntaxError((cause as Error).message.replaceAll(/\p{Cc}+/gu, " "), { cause });
  }
}
