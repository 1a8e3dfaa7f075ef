/**
 * JSON of which anything may be wrong, and errors about it that stay one short line.
 *
 * @module
 */
import type { z } from "zod";

/**
 * Parses JSON.
 *
 * @param start Start of the error message, such as `Cannot parse x.json: `.
 * @throws {SyntaxError} If it is not JSON; the message is one line.
 */
export function parseJson(text: string, start = ""): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) { // the parser quotes the text, line ends and all
    throw new SyntaxError(start + printable((cause as Error).message), { cause });
  }
}

/** A value of a file as JSON, for a message: without control characters, and cut off. */
export function show(value: unknown): string {
  if (value === undefined) return "missing";
  // JSON has no infinity, but 1e999 is read as one.
  const text = printable(typeof value === "number" ? `${value}` : JSON.stringify(value));
  return text.length > 60 ? `${text.slice(0, 60)}...` : text;
}

/** The first problem that a schema has with a value: `"a.b" is 3, expected string`. */
export function problemOf({ issues }: z.ZodError, value: unknown): string {
  const { path, message } = issues[0]!;
  const found = path.reduce<unknown>(
    (part, key) => (part as Record<PropertyKey, unknown>)[key],
    value,
  );
  const place = path.length === 0 ? "it" : show(path.join("."));
  const wanted = message.replaceAll(/^Invalid (input|option): |^Too \w+: |, received .*/g, "");
  return `${place} is ${show(found)}, ${wanted}`;
}

/** A JSON value a line, as `jq` and pandas read them. */
export function jsonLines(values: readonly unknown[]): string {
  return values.map((value) => JSON.stringify(value) + "\n").join("");
}

function printable(text: string): string {
  return text.replaceAll(/\p{Cc}+/gu, " ");
}
