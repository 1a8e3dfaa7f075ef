import assert from "node:assert/strict";
import {
  createTensor,
  type Gpu,
  readTensor,
  uploadTensor,
  writeTensor,
} from "../../kernels/gpu.ts";
import { Plan, runOnce, runPlans } from "../../kernels/plan.ts";
import { NO_SCORE, topK, type TopKInput, truthCounts, truthScores } from "../../kernels/top_k.ts";
import { gpuTest } from "../testing.ts";

// Two queries against chunks of up to three references; `search_test.ts` has the large cases.
const CHUNKS = [
  { scores: [3, -1, /**/ 1, -1, /**/ 2, -5], chunk: [0, 3] },
  { scores: [9, 9, /**/ 9, 9, /**/ 9, 9], chunk: [3, 0] }, // stale rows
  { scores: [2, -1, /**/ 4, -2, /**/ 9, 9], chunk: [3, 2] },
];

function createInput(gpu: Gpu, k: number): TopKInput {
  return {
    scores: createTensor(gpu, [3, 2]),
    chunk: createTensor(gpu, [2], "u32"),
    topScores: uploadTensor(gpu, new Float32Array(2 * k).fill(NO_SCORE), [2, k]),
    topIndices: createTensor(gpu, [2, k], "u32"),
    bad: createTensor(gpu, [2], "u32"),
  };
}

async function feed(gpu: Gpu, input: TopKInput, record: (plan: Plan) => void): Promise<void> {
  const plan = new Plan(gpu);
  record(plan);
  await plan.ready();
  for (const { scores, chunk } of CHUNKS) {
    writeTensor(gpu, input.scores, Float32Array.from(scores));
    writeTensor(gpu, input.chunk, Uint32Array.from(chunk));
    runPlans(gpu, [plan]);
  }
}

gpuTest("topK() keeps the best of all chunks, of equal scores the first", async (gpu) => {
  const input = createInput(gpu, 3);
  await feed(gpu, input, (plan) => topK(plan, input));
  assert.deepEqual(
    await readTensor(gpu, input.topScores),
    Float32Array.of(4, 3, 2, /**/ -1, -1, -1),
  );
  assert.deepEqual(await readTensor(gpu, input.topIndices), Float32Array.of(4, 0, 2, /**/ 0, 1, 3));
  assert.deepEqual(await readTensor(gpu, input.bad), Float32Array.of(0, 0));
});

gpuTest("topK() serves more queries than a workgroup has lanes", async (gpu) => {
  const count = 70;
  const scores = Float32Array.from({ length: 2 * count }, (_, i) => i < count ? 0 : i);
  const input = {
    scores: uploadTensor(gpu, scores, [2, count]),
    chunk: uploadTensor(gpu, Uint32Array.of(0, 2), [2], "u32"),
    topScores: uploadTensor(gpu, new Float32Array(count).fill(NO_SCORE), [count, 1]),
    topIndices: createTensor(gpu, [count, 1], "u32"),
    bad: createTensor(gpu, [count], "u32"),
  };
  await runOnce(gpu, (plan) => topK(plan, input));
  assert.deepEqual(await readTensor(gpu, input.topScores), scores.subarray(count));
  assert.deepEqual(await readTensor(gpu, input.topIndices), new Float32Array(count).fill(1));
});

gpuTest("topK() leaves places empty when references are fewer", async (gpu) => {
  const input = createInput(gpu, 6);
  await feed(gpu, input, (plan) => topK(plan, input));
  assert.deepEqual(
    await readTensor(gpu, input.topScores),
    Float32Array.of(4, 3, 2, 2, 1, NO_SCORE, /**/ -1, -1, -1, -2, -5, NO_SCORE),
  );
});

gpuTest("topK() reports the first score that is not finite", async (gpu) => {
  for (const value of [NaN, Infinity, -Infinity]) {
    const input = createInput(gpu, 2);
    writeTensor(gpu, input.scores, Float32Array.of(1, 1, /**/ 1, value, /**/ 1, value));
    writeTensor(gpu, input.chunk, Uint32Array.of(10, 3));
    await runOnce(gpu, (plan) => topK(plan, input));
    assert.deepEqual(await readTensor(gpu, input.bad), Float32Array.of(0, 12));
  }
});

gpuTest("truthScores() and truthCounts() find pairs in every chunk and count ties", async (gpu) => {
  const input = createInput(gpu, 1);
  const truths = {
    ...input,
    pairs: uploadTensor(gpu, Uint32Array.of(0, 2, /**/ 1, 3, /**/ 0, 4), [3, 2], "u32"),
    pairScores: createTensor(gpu, [3]),
    counts: createTensor(gpu, [3], "u32"),
  };
  await feed(gpu, input, (plan) => truthScores(plan, truths));
  assert.deepEqual(await readTensor(gpu, truths.pairScores), Float32Array.of(2, -1, 4));
  await feed(gpu, input, (plan) => truthCounts(plan, truths));
  // 3 2 2 4; -1 -1 -1; 4
  assert.deepEqual(await readTensor(gpu, truths.counts), Float32Array.of(4, 3, 1));
});

gpuTest("topK(), truthScores() and truthCounts() refuse tensors that do not fit", async (gpu) => {
  const input = createInput(gpu, 3);
  const truths = {
    ...input,
    pairs: createTensor(gpu, [3, 2], "u32"),
    pairScores: createTensor(gpu, [3]),
    counts: createTensor(gpu, [3], "u32"),
  };
  const refuse = (record: (plan: Plan) => void, error: Error) =>
    assert.rejects(runOnce(gpu, record), error);
  await refuse(
    (plan) => topK(plan, { ...input, topIndices: createTensor(gpu, [2, 2], "u32") }),
    new RangeError("Cannot run top_k: topIndices is (2,2) u32, it must be (2,3) u32"),
  );
  await refuse(
    (plan) => topK(plan, { ...input, chunk: createTensor(gpu, [2]) }),
    new TypeError("Cannot run top_k: chunk is (2) f32, it must be (2) u32"),
  );
  await refuse(
    (plan) => truthScores(plan, { ...truths, pairScores: createTensor(gpu, [4]) }),
    new RangeError("Cannot run truth_scores: pairScores is (4) f32, it must be (3) f32"),
  );
  await refuse(
    (plan) => truthCounts(plan, { ...truths, counts: createTensor(gpu, [4], "u32") }),
    new RangeError("Cannot run truth_counts: counts is (4) u32, it must be (3) u32"),
  );
});
