/**
 * What naga writes as HLSL, for Direct3D: a function that makes the zeros of a type for `vec4f()`,
 * one that makes an array for `array<f32, 2>(a, b)`. It counts types by their names, so that the
 * same function comes again for `Sum()` where `Sum` is an alias of vec4f, and no compiler takes
 * that. So in a module one name makes the zeros of a type, and one its arrays.
 *
 * @module
 */
import assert from "node:assert/strict";
import type { Gpu } from "../../kernels/gpu.ts";
import { gpuTest } from "../testing.ts";
import { compileStep, modulesOnly, STEPS } from "./steps.ts";

const SCALARS: Record<string, string> = { f: "f32", h: "f16", u: "u32", i: "i32" };

/** Types that a module makes by two names, with these. */
function twiceMade(code: string): string[] {
  const text = code.replace(/\/\/.*/g, "");
  const known = new Map(
    [...text.matchAll(/\b(?:alias|const) (\w+)(?:: \w+)? = (.+?)u?;/g)]
      .map(([, name, type]) => [name!, type!.replaceAll(" ", "")]),
  );
  // An alias of an alias is no type of its own.
  const named = (name: string): string =>
    known.has(known.get(name)!) ? named(known.get(name)!) : name;
  const resolved = (type: string): string => {
    const next = type.replace(/[a-zA-Z_]\w*/g, (name) => known.get(name) ?? name)
      .replace(/\b(vec\d|mat\dx\d)([fhui])\b/g, (_, kind, of) => `${kind}<${SCALARS[of]}>`)
      .replace(/\b(\d+)u\b/g, "$1");
    return next === type ? type : resolved(next);
  };
  const names = new Map<string, Set<string>>();
  for (const [, written, isEmpty] of text.matchAll(/(\b\w+(?:<[\w<>, ]+>)?)\((\))?/g)) {
    const name = named(written!.replaceAll(" ", ""));
    const type = resolved(name);
    const hasFunction = /^array</.test(type) || isEmpty && /^(vec|mat)\d/.test(type);
    if (!hasFunction) continue;
    names.set(type, (names.get(type) ?? new Set()).add(known.has(name) ? name : type));
  }
  return [...names].filter(([, { size }]) => size > 1)
    .map(([type, of]) => `${type} by ${[...of].sort().join(", ")}`);
}

Deno.test("types that a module makes by two names are found", () => {
  const sum = "alias Real = f32; alias Sum = vec4<Real>; var a = Sum();";
  const both = ["vec4<f32> by Sum, vec4<f32>"];
  assert.deepEqual(twiceMade(sum), []);
  assert.deepEqual(twiceMade(`${sum} var b = vec4f(0); let c = f(); // vec4f()`), []);
  assert.deepEqual(twiceMade("var a = vec4f(); var b = vec4<f32>();"), []);
  assert.deepEqual(twiceMade(`${sum} var b = vec4f();`), both);
  assert.deepEqual(twiceMade(`${sum} var b = vec4<Real>();`), both);
  const pair = "const N = 2u; alias Pair = array<f32, N>; var a = Pair(1, 2);";
  assert.deepEqual(twiceMade(`${pair} alias Same = Pair; var b = Same(1, 2);`), []);
  const two = ["array<f32,2> by Pair, Two"];
  assert.deepEqual(twiceMade(`${pair} alias Two = array<f32, 2>; var b = Two(1, 2);`), two);
});

const ADAPTERS: [name: string, gpu: Partial<Gpu>][] = [
  ["the software adapter", {}],
  ["a GPU without subgroups", { isCpu: false, subgroupMinSize: 0 }],
  ["NVIDIA's GPUs", { isCpu: false, subgroupMinSize: 32, hasManyRegisters: true }],
  ["Apple's GPUs", { isCpu: false, subgroupMinSize: 32, hasManyRegisters: false }],
];
for (const [name, changed] of ADAPTERS) {
  for (const precision of ["f32", "f16"] as const) {
    gpuTest({
      name: `a module makes each type by one name: every kernel in ${precision} for ${name}`,
      needs: [precision],
    }, async (gpu) => {
      const codes = new Set<string>();
      const device = modulesOnly(gpu.device, (code) => codes.add(code));
      const steps = STEPS.filter((step) => step.precision === precision);
      for (const step of steps) {
        await compileStep({ ...gpu, ...changed, device, pipelines: new Map() }, step);
      }
      assert(codes.size >= 5 * steps.length, `${codes.size} modules`);
      for (const code of codes) assert.deepEqual(twiceMade(code), [], code);
    });
  }
}
