import assert from "node:assert/strict";
import { parseJson, show } from "../../data/json.ts";

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
