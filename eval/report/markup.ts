/**
 * Markup from a template: everything put into it is escaped.
 *
 * @module
 */

/** Text that goes into a page as it is. */
export class Markup {
  constructor(readonly text: string) {}
}

/** What a template takes; null is nothing, a list is its items in a row. */
export type Content = Markup | string | number | null | readonly Content[];

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** Tag of a template; values may stand between tags or in quoted attributes. */
export function markup(parts: TemplateStringsArray, ...values: Content[]): Markup {
  return new Markup(parts.reduce((text, part, i) => text + render(values[i - 1]!) + part));
}

function render(content: Content): string {
  if (content instanceof Markup) return content.text;
  if (content === null) return "";
  if (typeof content === "object") return content.map(render).join("");
  return String(content).replace(/[&<>"']/g, (sign) => ENTITIES[sign]!);
}
