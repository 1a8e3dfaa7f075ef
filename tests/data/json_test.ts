import assert from "node:assert/strict";
import { z } from "zod";
import { jsonLines, parseJson, problemOf, show } from "../../data/json.ts";

Deno.test("parseJson() says what is wrong in one line, behind the start that it is given", () => {
  assert.deepEqual(parseJson('{"a": [1, null]}'), { a: [1, null] });
  for (const text of ["", "{", "[1,\n\nx]", '{"a": "\x1b[31m"}']) {
    assert.throws(() => parseJson(text, "Cannot parse x.json: "), (error: Error) => {
      assert(error instanceof SyntaxError);
      return /^Cannot parse x\.json: \P{Cc}+$/u.test(error.message);
    });
  }
});

Deno.test("show() is short and on one line", () => {
  assert.equal(show({ a: [1, "b"], c: null }), '{"a":[1,"b"],"c":null}');
  assert.equal(show(undefined), "missing");
  assert.equal(show(JSON.parse("1e999")), "Infinity");
  assert.equal(show("\x7f\x9b."), '" ."'); // JSON escapes neither
  assert.equal(show("x".repeat(58)), `"${"x".repeat(58)}"`);
  assert.equal(show("x".repeat(59)), `"${"x".repeat(59)}...`);
});

Deno.test("problemOf() names what a schema refuses, and shows it", () => {
  const schema = z.strictObject({
    a: z.array(z.number().max(9)),
    b: z.enum(["x", "y"]).optional(),
  });
  const cases: [value: unknown, problem: string][] = [
    [null, "it is null, expected object"],
    [{}, '"a" is missing, expected array'],
    [{ a: [1, "2"] }, '"a.1" is "2", expected number'],
    [{ a: [10] }, '"a.0" is 10, expected number to be <=9'],
    [{ a: [], b: "z" }, '"b" is "z", expected one of "x"|"y"'],
    [{ a: [], c: 1 }, 'it is {"a":[],"c":1}, Unrecognized key: "c"'],
  ];
  for (const [value, problem] of cases) {
    assert.equal(problemOf(schema.safeParse(value).error!, value), problem);
  }
});

Deno.test("jsonLines() ends every line", () => {
  assert.equal(jsonLines([]), "");
  assert.equal(jsonLines([{ a: 1 }, "b\n"]), '{"a":1}\n"b\\n"\n');
});
