/**
 * What comes after the backbone: head, loss and optimiser, at the sizes of the plain recipe.
 *
 * @module
 */
import { adamw, initialScaler, partialsShape } from "../kernels/adamw.ts";
import { adamwCpu } from "../kernels/adamw_cpu.ts";
import { columnSum } from "../kernels/column_sum.ts";
import { columnSumCpu } from "../kernels/column_sum_cpu.ts";
import { infoNce } from "../kernels/info_nce.ts";
import { infoNceCpu } from "../kernels/info_nce_cpu.ts";
import { normalise } from "../kernels/normalise.ts";
import { normaliseCpu } from "../kernels/normalise_cpu.ts";
import { checkClose, type KernelCase } from "./measure.ts";
import { mostError, type Room } from "./room.ts";
import { unitRows } from "./values.ts";

const DIM = 256; // of an embedding
const HIDDEN = 2048; // of the head
const PARAMETERS = 10_750_272; // ViT-S with r = 128 on every layer, and the head

/** The kernels, for batches of `pairs`. */
export function lossCases(room: Room, pairs: number): KernelCase[] {
  const images = 2 * pairs;
  const hidden = room.values([images, HIDDEN]);
  const bias = room.zeros([HIDDEN]);
  const out = room.values([images, DIM]);
  const embeddings = room.zeros([images, DIM]);
  const norms = room.zeros([images]);
  const most = mostError("f32");
  return [
    {
      name: `column_sum of ${images} × ${HIDDEN}`,
      record: (plan) => columnSum(plan, { x: hidden.tensor, y: bias, accumulate: false }),
      async check() {
        const expected = columnSumCpu(hidden.host, new Float32Array(HIDDEN));
        checkClose(await room.read(bias), expected, most);
      },
    },
    {
      name: `normalise ${images} × ${DIM}`,
      record: (plan) => normalise(plan, { x: out.tensor, y: embeddings, norms }),
      async check() {
        checkClose(await room.read(embeddings), normaliseCpu(out.host, DIM).y, most);
      },
    },
    infoNceCase(room, pairs),
    adamwCase(room),
  ];
}

/** The loss of a batch and all of its gradients. */
export function infoNceCase(room: Room, pairs: number): KernelCase {
  const query = unitRows(pairs, DIM, 1);
  const reference = unitRows(pairs, DIM, 2);
  const smoothing = new Float32Array(pairs).fill(0.1);
  const logitScale = Math.log(1 / 0.07);
  const shape = [pairs, DIM];
  const tensors = {
    query: room.upload(query, shape, "f32"),
    reference: room.upload(reference, shape, "f32"),
    logitScale: room.upload(Float32Array.of(logitScale), [1], "f32"),
    smoothing: room.upload(smoothing, [pairs], "f32"),
    scaler: room.upload(initialScaler({ scale: 1 }), [8], "f32"),
    rowLse: room.zeros([pairs]),
    columnLse: room.zeros([pairs]),
    pairLoss: room.zeros([pairs]),
    loss: room.zeros([1]),
    dQuery: room.zeros(shape),
    dReference: room.zeros(shape),
    dLogitScale: room.zeros([1]),
  };
  return {
    name: `info_nce of ${pairs} pairs`,
    record: (plan) => infoNce(plan, tensors),
    async check() {
      const loss = await room.read(tensors.loss);
      if (pairs > 1024) {
        // The oracle needs a minute. Random rows of 256 have products near 0, so that every softmax
        // is nearly uniform: ln(pairs), up to half the variance of a logit, 1 / (2 · 256 · 0.07²).
        return checkClose(loss, [Math.log(pairs)], 0.1);
      }
      const expected = infoNceCpu({ query, reference, smoothing, logitScale });
      checkClose(loss, [expected.loss], mostError("f32"));
      checkClose(await room.read(tensors.dQuery), expected.dQuery, 10 * mostError("f32"));
    },
  };
}

function adamwCase(room: Room): KernelCase {
  const shape = [PARAMETERS];
  const parameters = room.values(shape);
  const gradients = room.values(shape, "f32", 1e-3);
  const [m, v] = [room.zeros(shape), room.zeros(shape)];
  const lr = 3e-4;
  const step = new Uint32Array(8);
  new Float32Array(step.buffer)[2] = lr;
  const settings = { weightDecay: 0.01, clipValue: 100, clipNorm: 0, dynamicScale: false };
  const tensors = {
    parameters: parameters.tensor,
    gradients: gradients.tensor,
    m,
    v,
    step: room.upload(step, [8], "u32"),
    scaler: room.upload(initialScaler({ scale: 1 }), [8], "f32"),
    partials: room.zeros(partialsShape(PARAMETERS)),
  };
  return {
    name: `adamw of ${(PARAMETERS / 1e6).toFixed(1)} M`,
    record: (plan) => adamw(plan, { ...tensors, ...settings }),
    async check() {
      const count = 1024; // without a clip by norm each parameter stands for itself
      const state = {
        ...{ scale: 1, tracker: 0, foundInf: false, skipped: 0, steps: 0, gradNorm: 0, gradMax: 0 },
        parameters: Float64Array.from(parameters.host.subarray(-count)),
        gradients: Float64Array.from(gradients.host.subarray(-count)),
        m: new Float64Array(count),
        v: new Float64Array(count),
      };
      const betas = { lr, beta1: 0.9, beta2: 0.999, eps: 1e-8, growthInterval: 2000 };
      adamwCpu(state, { ...betas, ...settings });
      const updated = (await room.read(tensors.parameters)).subarray(-count);
      const before = parameters.host.subarray(-count);
      // The change is compared: it is 3000 times smaller than the parameter, whose f32 rounding of
      // 6e-8 is then 2e-4 of it.
      checkClose(
        updated.map((x, i) => x - before[i]!),
        state.parameters.map((x, i) => x - before[i]!),
        1e-3,
      );
    },
  };
}
