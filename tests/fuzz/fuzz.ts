/**
 * Seeded fuzzing: thousands of damaged inputs, each of which must be refused in one line, or give a
 * value that a second check confirms, in time and without much memory.
 *
 * @module
 */
import assert from "node:assert/strict";

/** Longest that one case may take. It takes milliseconds; the rest is for a busy machine. */
const MOST_MS = 1000;

/** The long form, `deno task test:long`, tries ten times as many. */
const TIMES = Deno.env.get("FAULTS") === "long" ? 10 : 1;

/** Random choices, the same for the same seed. */
export class Choices {
  #state: number;

  constructor(seed: number) {
    this.#state = (Math.imul(seed + 1, 0x9E3779B9) >>> 0) || 1;
  }

  /** A whole number from 0 to `n` - 1. @see xorshift32, Marsaglia 2003 */
  below(n: number): number {
    let x = this.#state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.#state = x >>> 0;
    return Math.floor(this.#state / 2 ** 32 * n);
  }

  /** One of some values. */
  of<T>(values: readonly T[]): T {
    return values[this.below(values.length)]!;
  }
}

/** What is done with a case. */
export interface Case<T> {
  run: () => T | Promise<T>;
  /** Throws if the value of a case that was not refused is wrong. */
  confirm: (value: T) => void | Promise<void>;
  /** What went in, for the report of a failure. */
  input: unknown;
}

/** Options of {@linkcode fuzz}. */
export interface FuzzOptions<T> {
  cases: number;
  make: (choices: Choices, index: number) => Case<T> | Promise<Case<T>>;
  /** Most bytes of memory outside of V8's heap that a case may leave behind. */
  cap: number;
}

/**
 * Runs cases and prints how many were refused.
 *
 * @throws {Error} If a case crashes, takes too long or too much, or ends in a value that is wrong;
 *   or if all are refused, or none: such a test tests half of what it should.
 */
export async function fuzz<T>(options: FuzzOptions<T>): Promise<void> {
  const { make, cap } = options;
  const cases = options.cases * TIMES;
  let refused = 0;
  for (let index = 0; index < cases; index++) {
    const { run, confirm, input } = await make(new Choices(index), index);
    try {
      const before = Deno.memoryUsage().external;
      const start = performance.now();
      const result = await outcome(run);
      const ms = performance.now() - start;
      const bytes = Deno.memoryUsage().external - before;
      assert(ms <= MOST_MS, `it took ${ms.toFixed(0)} ms`);
      assert(bytes <= cap, `it allocated ${bytes} bytes`);
      if ("value" in result) await confirm(result.value);
      else {
        assertRefusal(result.error);
        refused++;
      }
    } catch (cause) {
      const shown = typeof input === "string" ? input : Deno.inspect(input, { depth: 8 });
      const { message } = cause as Error;
      throw new Error(`case ${index}: ${message}\ninput: ${shown.slice(0, 2000)}`, { cause });
    }
  }
  console.log(`${cases} cases: ${refused} refused, ${cases - refused} accepted and confirmed`);
  assert(refused > 0 && refused < cases, "there must be cases of both kinds");
}

async function outcome<T>(run: () => T | Promise<T>): Promise<{ value: T } | { error: unknown }> {
  try {
    return { value: await run() };
  } catch (error) {
    return { error };
  }
}

/** An error that a user understands is one line that says what cannot be done. */
export function assertRefusal(error: unknown): void {
  assert(error instanceof Error, `thrown is ${Deno.inspect(error)}`);
  const isLine = /^Cannot \P{Cc}{1,1000}$/u.test(error.message);
  assert(isLine, `the error is no line that a user understands: ${JSON.stringify(error.stack)}`);
}

/** Numbers that go wrong where others do not. */
export const NUMBERS: readonly number[] = [
  ...[0, -0, 1, -1, 0.5, 1e-320, 255, 256, 65_535, 2 ** 31 - 1, 2 ** 31, 2 ** 32, 2 ** 53 - 1],
  ...[2 ** 53, 2 ** 63, -(2 ** 63), 1e300, Infinity, -Infinity, NaN],
];

/** Texts likewise. */
export const TEXTS: readonly string[] = [
  ...[
    "",
    " ",
    "\0",
    "\n",
    "\u001b[2J",
    "\u2028",
    "\ud800",
    "é",
    "__proto__",
    "constructor",
    "null",
  ],
  ...[
    "..",
    "../../etc/passwd",
    "/etc/passwd",
    "C:\\Windows",
    "\\\\host\\share",
    "a/../../b",
    "./a",
  ],
  ...["..\\..\\etc", "%2e%2e/", "file:///etc/passwd", "a".repeat(300), "1e999", "-1", "{}", "[]"],
];

/** A value of any kind. */
export function anyValue(choices: Choices): unknown {
  const kinds: (() => unknown)[] = [
    () => choices.of(NUMBERS),
    () => choices.of(TEXTS),
    () => choices.of([null, true, false]),
    () => [],
    () => ({}),
    () => Array.from({ length: choices.below(4) }, () => anyValue(choices)),
    () => ({ [choices.of(TEXTS)]: anyValue(choices) }),
  ];
  return choices.of(kinds)();
}

/** A copy of a JSON value in which one to three parts are replaced, removed or repeated. */
export function mutateJson(choices: Choices, value: unknown): unknown {
  const copy = { root: structuredClone(value) };
  for (let change = 0; change <= choices.below(3); change++) {
    let parent: Record<string, unknown> = copy;
    let key = "root";
    for (;;) { // walks down from the root, and stops anywhere
      const child = parent[key];
      if (child === null || typeof child !== "object" || choices.below(4) === 0) break;
      const keys = Object.keys(child);
      if (keys.length === 0) break;
      parent = child as Record<string, unknown>;
      key = choices.of(keys);
    }
    const change = choices.below(4);
    if (change === 0 && parent !== copy) delete parent[key];
    else if (change === 1 && Array.isArray(parent)) {
      parent.push(structuredClone(parent[Number(key)]));
    } else if (change === 2 && parent !== copy) parent[choices.of(TEXTS)] = parent[key];
    else parent[key] = anyValue(choices);
  }
  return copy.root;
}

/** JSON in which infinite and other odd numbers survive as a hostile writer would put them. */
export function jsonText(value: unknown): string {
  const mark = "\u0001number";
  const text = JSON.stringify(
    value,
    (_, part) => typeof part === "number" && !Number.isFinite(part) ? `${mark}${part}` : part,
  ) ?? "undefined";
  return text.replaceAll(/"\\u0001number(-?)(?:Infinity|NaN)"/g, "$11e999");
}

/** A copy of some bytes, cut off, changed, moved or repeated. */
export function mutateBytes(choices: Choices, bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  let copy = Uint8Array.from(bytes);
  for (let change = 0; change <= choices.below(3); change++) {
    const at = choices.below(copy.length + 1);
    const length = choices.below(Math.min(64, copy.length - at + 1));
    switch (choices.below(6)) {
      case 0:
        copy = copy.slice(0, at);
        break;
      case 1:
        if (at < copy.length) copy[at]! ^= 1 << choices.below(8);
        break;
      case 2:
        if (at < copy.length) copy[at] = choices.of([0, 1, 0x7f, 0x80, 0xff]);
        break;
      case 3:
        copy = Uint8Array.of(...copy.subarray(0, at), ...copy.subarray(at + length));
        break;
      case 4:
        copy = Uint8Array.of(...copy.subarray(0, at + length), ...copy.subarray(at));
        break;
      case 5:
        for (let i = at; i < at + length; i++) copy[i] = choices.below(256);
    }
  }
  return copy;
}
