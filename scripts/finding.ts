/** One line of `doctor`: what it looked at, what it found, and what there is to do. */
export interface Finding {
  /** A word. */
  name: string;
  /** `ok`, `note`: training works, but see `todo`; `bad`: training does not work. */
  state: "ok" | "note" | "bad";
  found: string;
  /** What to do about a `note` or `bad`, where `found` does not say it. */
  todo?: string;
}

/**
 * What a look gives, or that it failed.
 *
 * @param failed What a failure means: with a thing to do it is one that training needs.
 */
export async function check(
  name: string,
  look: () => Finding | Promise<Finding>,
  failed: { todo?: string } = {},
): Promise<Finding> {
  try {
    return await look();
  } catch (error) {
    const found = error instanceof Error ? error.message : String(error);
    return { name, state: failed.todo === undefined ? "note" : "bad", found, ...failed };
  }
}

/** A finding as it is printed. */
export function findingLine({ name, state, found, todo }: Finding): string {
  const mark = { ok: "OK  ", note: "note", bad: "BAD " }[state];
  return `${mark}  ${name.padEnd(9)} ${found}${todo === undefined ? "" : `: ${todo}`}`;
}

/** A number of bytes in words. */
export function bytes(count: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const power = Math.min(units.length - 1, Math.max(0, Math.floor(Math.log2(count) / 10)));
  return `${Number((count / 1024 ** power).toPrecision(3))} ${units[power]}`;
}
