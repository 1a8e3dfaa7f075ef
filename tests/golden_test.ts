/**
 * The model against PyTorch: outputs, gradients and training of timm's DINOv3 with LoRA, for every
 * golden file in the folder `GOLDEN_DIR`.
 */
import assert from "node:assert/strict";
import { readScaler } from "../kernels/adamw.ts";
import { type Gpu, readTensor, type Tensor, writeTensor } from "../kernels/gpu.ts";
import { Plan, runPlans } from "../kernels/plan.ts";
import { scheduleFactor } from "../model/schedule.ts";
import { createTrainer, type Trainer, type TrainerOptions } from "../model/trainer.ts";
import { type Golden, goldenNames, openGolden, patchRows, peftName } from "./golden.ts";
import { withMatrices } from "./kernels/matrix_units.ts";
import { gpuTest, relativeL2 } from "./testing.ts";

type Precision = "f32" | "f16";

// The tolerances of the design: a share of the largest value, relative L2 norms, relative losses.
const TOLERANCE = {
  f32: { output: 1e-4, gradient: 1e-4, loss: 1e-3, firstLosses: 1e-4 },
  f16: { output: 1e-2, gradient: 2e-2, loss: 2e-2, firstLosses: 2e-2 },
};

/** Fails unless every value is within `share` of the largest expected value. */
function assertShare(name: string, actual: Float32Array, expected: Float32Array, share: number) {
  assert.equal(actual.length, expected.length, name);
  const largest = expected.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
  const worst = actual.reduce((most, x, i) => {
    const error = Math.abs(x - expected[i]!);
    return error <= most ? most : error; // NaN wins, and fails below
  }, 0);
  assert(
    worst <= share * largest,
    `${name}: off by ${worst}, allowed ${share} of ${largest} = ${share * largest}`,
  );
}

function assertRelative(name: string, actual: number, expected: number, tolerance: number): void {
  const error = actual === expected ? 0 : Math.abs(actual - expected) / Math.abs(expected);
  assert(error <= tolerance, `${name}: ${actual}, expected ${expected}, off by ${error} relative`);
}

function trainerOptions(golden: Golden, precision: Precision): TrainerOptions {
  const { args, height, width } = golden;
  const recipe = args.hidden !== undefined;
  return {
    backbone: golden.backbone(),
    adapter: golden.adapter(),
    precision,
    height,
    width,
    pool: args.global_pool,
    batchSize: args.pairs ?? args.batch! / 2,
    input: "rows",
    trainLogitScale: recipe,
    weightDecay: args.wd ?? 0.01,
    clipValue: recipe ? args.clip! : 0,
    clipNorm: recipe ? 0 : 1, // vits16_* files clip by norm
    seed: 0,
  };
}

/** Unscaled gradients of all trained tensors. */
async function gradientsOf(gpu: Gpu, trainer: Trainer, scale: number) {
  const flat = await readTensor(gpu, trainer.trainables.training!.gradients);
  return trainer.trainables.unpack(flat.map((x) => x / scale));
}

function assertGradients(
  golden: Golden,
  prefix: string,
  gradients: Map<string, Float32Array>,
  tolerance: number,
): void {
  for (const [name, gradient] of gradients) {
    const key = `${prefix}.${peftName(name)}`;
    const expected = golden.get(key);
    if (expected.every((x) => x === 0)) { // one pair has nothing to be told from
      assert(gradient.every((x) => Math.abs(x) <= tolerance), `${key} is not 0`);
      continue;
    }
    const error = relativeL2(gradient, expected);
    assert(error <= tolerance, `${key}: relative L2 error ${error}, allowed ${tolerance}`);
  }
}

/** Adam's first steps are near sign(g)·lr: elements at rounding noise move by up to lr a step. */
async function assertAfter(golden: Golden, trainer: Trainer): Promise<void> {
  const rates = golden.log.map(({ lr }) => lr);
  const atol = 0.5 * rates.reduce((sum, lr) => sum + lr, 0);
  const flat = await readTensor(trainer.gpu, trainer.trainables.parameters);
  for (const [name, values] of trainer.trainables.unpack(flat)) {
    const expected = golden.get(`after.${peftName(name)}`);
    values.forEach((value, i) =>
      assert(
        Math.abs(value - expected[i]!) <= atol,
        `after.${name}[${i}]: ${value}, expected ${expected[i]}, allowed ${atol}`,
      )
    );
  }
}

async function withTrainer(
  gpu: Gpu,
  options: TrainerOptions,
  use: (trainer: Trainer) => Promise<void>,
): Promise<void> {
  const trainer = await createTrainer(gpu, options);
  try {
    await use(trainer);
  } finally {
    trainer.destroy();
  }
}

async function checkBackbone(gpu: Gpu, golden: Golden, precision: Precision): Promise<void> {
  const { args, height, width, config } = golden;
  const tolerance = TOLERANCE[precision];
  const batch = args.batch!;
  const lossScale = precision === "f16" ? 1024 : 1;
  const smoothing = new Float32Array(batch / 2).fill(args.smoothing!);
  const rows = patchRows(golden.hashed("input.image", [batch, 3, height, width]), golden);

  await withTrainer(gpu, { ...trainerOptions(golden, precision), lossScale }, async (trainer) => {
    trainer.write(rows, smoothing);
    trainer.computeGradients();
    const check = async (name: string, tensor: Tensor) => {
      if (!golden.has(name)) return; // small files hold no inner activations
      assertShare(name, await readTensor(gpu, tensor), golden.get(name), tolerance.output);
    };
    const { x, blocks } = trainer.encoder.kept;
    await check("fwd.tokens", x[0]!);
    for (let i = 0; i < args.depth; i++) await check(`fwd.blocks.${i}`, x[i + 1]!);
    await check("fwd.blocks.0.qkv", blocks[0]!.qkv);
    await check("fwd.blocks.0.attn.heads", blocks[0]!.heads);
    await check("fwd.blocks.0.mlp.fc1", blocks[0]!.pre);
    await check("out.pooled", trainer.encoder.pooled);
    await check("out.normalised", trainer.embeddings);
    assertGradients(
      golden,
      "grad.infonce",
      await gradientsOf(gpu, trainer, lossScale),
      tolerance.gradient,
    );
  });

  // The linear loss, from the gradient of the pooled tokens.
  await withTrainer(gpu, { ...trainerOptions(golden, precision), lossScale }, async (trainer) => {
    trainer.write(rows, smoothing);
    const { encoder } = trainer;
    const shape = encoder.pooled.shape;
    const direction = golden.hashed("loss.dot", shape);
    const size = batch * config.embedDim;
    writeTensor(gpu, encoder.dPooled!, direction.map((x) => x * lossScale / size));
    const plan = new Plan(gpu);
    encoder.recordMerge(plan);
    encoder.recordForward(plan);
    encoder.recordBackward(plan);
    await plan.ready();
    runPlans(gpu, [plan]);
    const gradients = await gradientsOf(gpu, trainer, lossScale);
    assertGradients(golden, "grad.dot", gradients, tolerance.gradient);
  });

  if (golden.log.length === 0) return;
  await withTrainer(gpu, { ...trainerOptions(golden, precision), lossScale }, async (trainer) => {
    const losses = await trainOn(trainer, golden, {
      factor: (step) =>
        scheduleFactor(step, { schedule: "cosine", warmup: 1, total: args.steps + 1 }),
      write: () => trainer.write(rows, smoothing),
    });
    assertLosses(golden, losses, precision);
    if (precision === "f32") await assertAfter(golden, trainer);
  });
}

async function checkRecipe(gpu: Gpu, golden: Golden, precision: Precision): Promise<void> {
  const { args, height, width } = golden;
  const tolerance = TOLERANCE[precision];
  const pairs = args.pairs!;
  const images = (name: string) => {
    const shape = [pairs, 3, height, width];
    return (["query", "reference"] as const).map((side) =>
      patchRows(golden.hashed(`${name}.${side}`, shape, { offset: 0, scale: 2 }), golden)
    );
  };
  const both = (name: string) => {
    const [query, reference] = images(name) as [Float32Array, Float32Array];
    const rows = new Float32Array(query.length + reference.length);
    rows.set(query);
    rows.set(reference, query.length);
    return rows;
  };
  const write = (trainer: Trainer, step: number) => {
    const rule = { offset: 0.5, scale: 0.5 };
    const weights = golden.hashed(`step.${step}.weight`, [pairs], rule);
    trainer.write(both(`step.${step}`), weights.map((w) => 1 / (1 + Math.exp(args.k! * w))));
  };

  await withTrainer(gpu, trainerOptions(golden, precision), async (trainer) => {
    const assertEmbeddings = async (tag: string, share: number) => {
      trainer.write(both("eval"), new Float32Array(pairs));
      trainer.computeGradients();
      const { gradients } = trainer.trainables.training!;
      writeTensor(gpu, gradients, new Float32Array(gradients.shape[0]!));
      const values = await readTensor(gpu, trainer.embeddings);
      const half = values.length / 2;
      assertShare(`${tag}.query`, values.subarray(0, half), golden.get(`${tag}.query`), share);
      const references = golden.get(`${tag}.reference`);
      assertShare(`${tag}.reference`, values.subarray(half), references, share);
    };
    await assertEmbeddings("before", tolerance.output);

    write(trainer, 0);
    trainer.computeGradients();
    const { training } = trainer.trainables;
    const { scale } = readScaler((await trainer.readState()).scaler);
    const gradients = await gradientsOf(gpu, trainer, scale);
    assertGradients(golden, "grad", gradients, tolerance.gradient);
    writeTensor(gpu, training!.gradients, new Float32Array(training!.gradients.shape[0]!));

    const losses = await trainOn(trainer, golden, {
      factor: (step) =>
        scheduleFactor(step, { schedule: "cosine", warmup: args.warmup!, total: args.steps }),
      write: (step) => write(trainer, step),
    });
    assertLosses(golden, losses, precision);
    if (precision === "f16") return;
    await assertAfter(golden, trainer);
    // Weights that differ by the steps' noise give embeddings that differ by as much.
    await assertEmbeddings("after", 10 * tolerance.output);
  });
}

/** Takes the golden file's steps and returns their losses. */
async function trainOn(
  trainer: Trainer,
  { args, log }: Golden,
  { factor, write }: { factor: (step: number) => number; write: (step: number) => void },
): Promise<number[]> {
  const losses: number[] = [];
  for (const { step, lr } of log) {
    const rate = args.lr * factor(step);
    assertRelative(`lr of step ${step}`, rate, lr, 1e-12);
    write(step);
    trainer.takeStep(rate);
    for (const { loss, skipped } of await trainer.results()) {
      assert(!skipped, `step ${step} was skipped`);
      losses.push(loss);
    }
  }
  return losses;
}

function assertLosses({ log }: Golden, losses: number[], precision: Precision): void {
  const tolerance = TOLERANCE[precision];
  assert.equal(losses.length, log.length);
  log.forEach(({ step, loss }) => {
    const allowed = step < 3 ? tolerance.firstLosses : tolerance.loss;
    assertRelative(`loss of step ${step}`, losses[step]!, loss, allowed);
  });
}

for (const precision of ["f32", "f16"] as const) {
  const cases = [
    ...goldenNames("vits16_").map((name) => [name, checkBackbone] as const),
    ...goldenNames("recipe_").map((name) => [name, checkRecipe] as const),
  ];
  for (const [name, check] of cases) {
    gpuTest({
      name: `Trainer agrees with PyTorch on ${name} in ${precision}`,
      needs: [precision],
    }, async (gpu) => {
      await check(gpu, await openGolden(name), precision);
    });
  }
}

const SMALL = "vits16_d2_32x48";
gpuTest({
  name: `Trainer with matrix units agrees with PyTorch on ${SMALL} in f16`,
  needs: ["f16"],
}, async (gpu) => {
  await checkBackbone(withMatrices(gpu), await openGolden(SMALL), "f16");
});

Deno.test("goldenNames() finds files", () => {
  assert(goldenNames("vits16_").length + goldenNames("recipe_").length > 0);
});
