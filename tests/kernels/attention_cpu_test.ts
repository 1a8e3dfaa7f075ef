import {
  attentionBackwardCpu,
  attentionCpu,
  type AttentionShape,
} from "../../kernels/attention_cpu.ts";
import { assertClose, uniform } from "../testing.ts";
import { centralGradient, dot } from "./central.ts";

const DIM = 64;

/** One image; angles unlike in every patch and dimension. */
function shapeOf(heads: number, tokens: number, prefix: number): AttentionShape {
  const angles = uniform((tokens - prefix) * DIM / 2, 3);
  const [cos, sin] = [Math.cos, Math.sin].map((f) => angles.map((x) => f(Math.PI * x)));
  return { batch: 1, heads, tokens, prefix, cos: cos!, sin: sin! };
}

Deno.test("attentionCpu() weighs two values by the logistic function of their scores", () => {
  // One head, two tokens without place: q = (1, 0, ...), k = (8 x, 0, ...), v = +1 and -1.
  const x = 0.7;
  const qkv = new Float64Array(2 * 3 * DIM);
  for (const [token, key, value] of [[0, 8 * x, 1], [1, 0, -1]] as const) {
    const start = token * 3 * DIM;
    qkv[start] = 1;
    qkv[start + DIM] = key;
    qkv.fill(value, start + 2 * DIM, start + 3 * DIM);
  }
  const { out, lse } = attentionCpu(qkv, shapeOf(1, 2, 2));
  assertClose(out, out.map(() => Math.tanh(x / 2)), { atol: 1e-15, rtol: 0 });
  assertClose(lse, lse.map(() => Math.log(Math.exp(x) + 1)), { atol: 1e-15, rtol: 0 });
});

Deno.test("attentionCpu() turns queries and keys, by place, and not the prefix", () => {
  // Patches turned by the same quarter of a circle keep their products; with the prefix, where
  // nothing is turned, dimension d of one side meets d + 32 of the other.
  const shape = shapeOf(1, 3, 1);
  shape.cos.fill(0);
  shape.sin.fill(1);
  const qkv = new Float64Array(3 * 3 * DIM);
  for (const token of [0, 1, 2]) {
    qkv[token * 3 * DIM + 2] = 8; // query
    qkv[token * 3 * DIM + DIM + 2] = token === 0 ? 0 : 1; // key
    qkv[token * 3 * DIM + DIM + 34] = token === 0 ? 1 : 0;
  }
  // Token 0: key (.., 1 at 34); patches: queries 8 at 34, keys 1 at 34.
  const { lse } = attentionCpu(qkv, shape);
  const sum = (...scores: number[]) =>
    Math.log(scores.reduce((total, score) => total + Math.exp(score), 0));
  assertClose(lse, [sum(0, 0, 0), sum(1, 1, 1), sum(1, 1, 1)], { atol: 1e-15, rtol: 0 });
});

Deno.test("attentionBackwardCpu() is the gradient of attentionCpu()", () => {
  const shape = shapeOf(2, 4, 2);
  const qkv = uniform(4 * 3 * 2 * DIM, 1).map((x) => 2 * x);
  const dOut = uniform(4 * 2 * DIM, 2);
  const numeric = centralGradient((x) => dot(attentionCpu(x, shape).out, dOut), qkv);
  // f64 rounding of a loss below 512 over the step: 512 * 2^-53 / 1e-5.
  assertClose(attentionBackwardCpu(qkv, dOut, shape), numeric, { atol: 1e-8, rtol: 1e-6 });
});
