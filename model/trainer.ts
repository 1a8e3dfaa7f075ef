/**
 * The training step: embed a batch of pairs, weighted InfoNCE, backward, AdamW. It is recorded once
 * and replayed; nothing is read back inside a step.
 *
 * @module
 */
import { adamw, initialScaler, partialsShape, readScaler } from "../kernels/adamw.ts";
import {
  allocate,
  createTensor,
  type Gpu,
  readTensor,
  readyOrFreed,
  sizeOf,
  type Tensor,
  uploadTensor,
  writeTensor,
} from "../kernels/gpu.ts";
import { infoNce } from "../kernels/info_nce.ts";
import { Plan, type ProfileRow, runPlans } from "../kernels/plan.ts";
import { tune } from "../kernels/tune.ts";
import { Ring } from "../kernels/ring.ts";
import { Sites } from "../kernels/sites.ts";
import { type Adapter, checkAdapter } from "./adapter.ts";
import { destroyTensors } from "./block.ts";
import { Encoder } from "./encoder.ts";
import { Head } from "./head.ts";
import { mergesBest, type Network, pieceSize, uploadNetwork } from "./network.ts";
import { Trainables } from "./trainables.ts";
import type { OptimiserState, StepResult, TrainerOptions } from "./trainer_options.ts";

export type { OptimiserState, StepResult, TrainerOptions };

const HEAD_STREAM = 0xffff; // of the dropout generator; adapters count from 0
const MOST_QUEUED = 8; // steps between two fetches
const STAGED_BYTES = 256 * 2 ** 20; // uploads that may wait for the GPU
// Where torch.amp.GradScaler starts. From Game4Loc's 1024 on, once the loss is small, most of what
// reaches the adapters of a batch of 128 pairs is less than f16 can hold.
const F16_LOSS_SCALE = 65536;

/** Trains an adapter; create it with {@linkcode createTrainer}. */
export class Trainer {
  readonly #gpu: Gpu;
  readonly #options: TrainerOptions;
  readonly #network: Network;
  readonly #encoder: Encoder;
  readonly #head: Head;
  readonly #sites: Sites;
  readonly #tensors: Record<string, Tensor>;
  readonly #gradients: Plan;
  readonly #update: Plan;
  readonly #ring: Ring;
  #pending: Pick<StepResult, "step" | "lr">[] = [];
  #step = 0;
  /** The parameters and their gradients. */
  readonly trainables: Trainables;

  /** @param gpu Open device. Use {@linkcode createTrainer}, which also waits for the kernels. */
  constructor(gpu: Gpu, options: TrainerOptions) {
    const { backbone, adapter, precision, height, width, batchSize: pairs } = options;
    const { dropout: rate } = adapter;
    const merge = options.merge ?? mergesBest(gpu, { precision, dropout: rate });
    if (merge && rate > 0) {
      throw new RangeError(`Cannot merge adapters that are trained with dropout ${rate}`);
    }
    const trainLogitScale = options.trainLogitScale ?? true;
    const trainables = new Trainables(gpu, adapter, { training: true, trainLogitScale });
    const layout = { precision, height, width, merge };
    const network = uploadNetwork(gpu, backbone, trainables, layout);
    const images = 2 * pairs;
    const microBatch = pieceSize(gpu, network, { images, microBatch: options.microBatch });
    const pieces = Math.ceil(images / microBatch);
    const sites = new Sites(gpu, 1 + adapter.modules.length * pieces);
    const encoder = new Encoder(gpu, network, {
      images,
      microBatch,
      pool: options.pool,
      training: {
        checkpointing: options.checkpointing ?? false,
        dropout: rate > 0 ? { rate, sites } : null,
      },
      input: options.input ?? "pixels",
    });
    const headDropout = rate > 0 ? { rate, site: sites.add(HEAD_STREAM, 0) } : null;
    const head = new Head(gpu, trainables, encoder, headDropout);
    const dim = head.embeddings.shape[1]!;
    const scale = precision === "f16" ? options.lossScale ?? F16_LOSS_SCALE : 1;
    const { training, parameters } = trainables;
    const make = (...shape: number[]) => createTensor(gpu, shape);
    const loss = {
      query: make(pairs, dim),
      reference: make(pairs, dim),
      dQuery: make(pairs, dim),
      dReference: make(pairs, dim),
      smoothing: make(pairs),
      rowLse: make(pairs),
      columnLse: make(pairs),
      pairLoss: make(pairs),
      loss: make(1),
      scaler: uploadTensor(gpu, initialScaler({ scale }), [8]),
    };
    const step = createTensor(gpu, [8], "u32");
    const partials = make(...partialsShape(parameters.shape[0]!));
    const report = make(16);

    const gradients = new Plan(gpu);
    encoder.recordMerge(gradients);
    encoder.recordForward(gradients);
    head.recordForward(gradients);
    // Copies, because the second half of the rows starts where no binding may.
    const count = pairs * dim;
    const { embeddings, dEmbeddings } = head;
    gradients.copy({ from: embeddings, to: loss.query, count });
    gradients.copy({ from: embeddings, fromStart: count, to: loss.reference, count });
    const { logitScale, dLogitScale } = trainables;
    infoNce(gradients, { ...loss, logitScale, dLogitScale });
    gradients.copy({ from: loss.dQuery, to: dEmbeddings, count });
    gradients.copy({ from: loss.dReference, to: dEmbeddings, toStart: count, count });
    head.recordBackward(gradients);
    encoder.recordBackward(gradients);

    const update = new Plan(gpu);
    update.copy({ from: loss.loss, to: report, count: 1 });
    update.copy({ from: logitScale, to: report, toStart: 1, count: 1 });
    adamw(update, {
      parameters,
      ...training!,
      step,
      scaler: loss.scaler,
      partials,
      weightDecay: options.weightDecay,
      clipValue: options.clipValue,
      clipNorm: options.clipNorm,
      dynamicScale: precision === "f16",
    });
    update.copy({ from: loss.scaler, to: report, toStart: 2, count: 8 });

    this.#gpu = gpu;
    this.#options = options;
    this.#network = network;
    this.#encoder = encoder;
    this.#head = head;
    this.#sites = sites;
    this.#tensors = { ...loss, step, partials, report };
    this.#gradients = gradients;
    this.#update = update;
    // One batch more waits while results are fetched.
    const batches = Math.floor(STAGED_BYTES / encoder.input.buffer.size) - 1;
    const depth = Math.max(1, Math.min(MOST_QUEUED, batches));
    this.#ring = new Ring(gpu, report, depth);
    this.trainables = trainables;
  }

  /** The device the trainer runs on. */
  get gpu(): Gpu {
    return this.#gpu;
  }

  /** Steps taken or queued. */
  get step(): number {
    return this.#step;
  }

  /** True when the next step must fetch the results of those that are queued. */
  get full(): boolean {
    return this.#ring.full;
  }

  /** `(images, D)`, rows of unit length: embeddings of the last batch, queries first. */
  get embeddings(): Tensor {
    return this.#head.embeddings;
  }

  /** Backbone and adapters. */
  get network(): Network {
    return this.#network;
  }

  /** The walk through the backbone, for tests of what it leaves. */
  get encoder(): Encoder {
    return this.#encoder;
  }

  /** Waits until all kernels are compiled, and tuned where that is asked for. */
  async ready(): Promise<void> {
    await tune(this.#gpu, [this.#gradients, this.#update]);
    await this.#gradients.ready();
    await this.#update.ready();
  }

  /**
   * Hands over the next batch.
   *
   * @param input Queries, then references: see `Encoder.input`.
   * @param smoothing `(pairs)`: label smoothing of each pair.
   * @throws {RangeError} If it is not a whole batch.
   */
  write(input: Uint8Array | Float32Array, smoothing: Float32Array): void {
    for (
      const [tensor, values] of [
        [this.#encoder.input, input],
        [this.#tensors.smoothing!, smoothing],
      ] as const
    ) {
      if (values.length !== sizeOf(tensor.shape)) {
        throw new RangeError(
          `Cannot train on ${values.length} values: a batch is (${tensor.shape})`,
        );
      }
      writeTensor(this.#gpu, tensor, values);
    }
  }

  /** Queues loss and gradients of the batch without an update; gradients are added up. */
  computeGradients(): void {
    this.#writeStep(0);
    runPlans(this.#gpu, [this.#gradients]);
  }

  /**
   * Gradients of the batch by parameter, as a step of this number computes them, times the loss
   * scale: to look into a step that went wrong. Waits for the GPU.
   *
   * @param step Number of the step, counted from 0: key of its dropout masks.
   * @returns Values row-major in the shapes of the adapter, by names such as
   *   `blocks.0.attn.qkv.lora_A`.
   * @throws {Error} If the device reported an error.
   */
  async gradients(step: number): Promise<Map<string, Float32Array>> {
    this.#writeStep(0, step);
    runPlans(this.#gpu, [this.#gradients]);
    const { gradients } = this.trainables.training!;
    const values = await readTensor(this.#gpu, gradients);
    writeTensor(this.#gpu, gradients, new Float32Array(values.length)); // as an update leaves them
    return this.trainables.unpack(values);
  }

  /**
   * Queues a whole step on the batch.
   *
   * @param lr Learning rate of this step.
   * @param fetch Also fetches the results of the steps queued before it, and waits for these. The GPU
   *   has this step to go on with meanwhile.
   * @returns Those results, oldest first; none without `fetch`. Await them before you fetch again.
   * @throws {RangeError} If results must be fetched, see {@linkcode full}, or are on their way.
   */
  takeStep(lr: number, { fetch = false } = {}): Promise<StepResult[]> {
    this.#writeStep(lr);
    const reports = this.#ring.run([this.#gradients, this.#update], { take: fetch });
    const pending = fetch ? this.#pending.splice(0) : [];
    this.#pending.push({ step: this.#step++, lr });
    return reports.then((reports) => resultsOf(pending, reports));
  }

  /**
   * Results of the steps queued since the last call, oldest first; none if there were none. Waits
   * for the GPU.
   *
   * @throws {Error} If the device reported an error.
   */
  async results(): Promise<StepResult[]> {
    return resultsOf(this.#pending.splice(0), await this.#ring.take());
  }

  /**
   * Takes a step on the last batch with a timestamp around every kernel. Waits for the GPU.
   *
   * @param lr Learning rate of this step, which is taken and counted, but gives no result.
   * @returns A row a kernel label: those of the gradients, then those of the update, the longest
   *   first of each.
   * @throws {Error} If the adapter has no timestamps.
   */
  async profile(lr: number): Promise<ProfileRow[]> {
    this.#writeStep(lr);
    const rows = [...await this.#gradients.profile(), ...await this.#update.profile()];
    this.#step++;
    return rows;
  }

  /**
   * The adapter as it is after the queued steps, in memory of its own. Waits for the GPU.
   *
   * @throws {Error} If the device reported an error.
   */
  adapter(): Promise<Adapter> {
    return this.trainables.read();
  }

  /**
   * The optimiser as it is after the queued steps, in memory of its own. Waits for the GPU.
   *
   * @throws {Error} If the device reported an error.
   */
  async readState(): Promise<OptimiserState> {
    const { m, v } = this.trainables.training!;
    return {
      step: this.#step,
      m: await readTensor(this.#gpu, m),
      v: await readTensor(this.#gpu, v),
      scaler: await readTensor(this.#gpu, this.#tensors.scaler!),
    };
  }

  /**
   * Goes on from a state that {@linkcode readState} returned for the same adapter and options.
   *
   * @throws {RangeError} If it is one of another adapter; nothing is changed then.
   */
  writeState({ step, m, v, scaler }: OptimiserState): void {
    const { training } = this.trainables;
    const parts = [
      ["m", training!.m, m],
      ["v", training!.v, v],
      ["scaler", this.#tensors.scaler!, scaler],
    ] as const;
    for (const [name, { shape }, { length }] of parts) {
      if (length !== sizeOf(shape)) {
        throw new RangeError(
          `Cannot resume an optimiser: ${name} has ${length} values, expected ${sizeOf(shape)}`,
        );
      }
    }
    for (const [, tensor, values] of parts) writeTensor(this.#gpu, tensor, values);
    this.#step = step;
  }

  /** Frees everything on the GPU. */
  destroy(): void {
    this.#ring.destroy();
    this.#head.destroy();
    this.#encoder.destroy();
    this.#sites.destroy();
    this.#network.destroy();
    this.trainables.destroy();
    destroyTensors(this.#gpu, this.#tensors);
  }

  #writeStep(lr: number, step = this.#step): void {
    const { seed } = this.#options;
    this.#sites.write(seed, step);
    const values = new Uint32Array(8);
    values.set([seed, step]);
    new Float32Array(values.buffer)[2] = lr;
    writeTensor(this.#gpu, this.#tensors.step!, values);
  }
}

/** What steps reported, in the order of the plan of the update. */
function resultsOf(
  pending: readonly Pick<StepResult, "step" | "lr">[],
  reports: readonly Float32Array[],
): StepResult[] {
  return reports.map((report, i) => {
    const scaler = readScaler(report.subarray(2, 10));
    return {
      ...pending[i]!,
      loss: report[0]!,
      logitScale: report[1]!,
      skipped: scaler.foundInf !== 0,
      skippedInARow: scaler.skipped,
      lossScale: scaler.scale,
      gradNorm: scaler.gradNorm,
      gradMax: scaler.gradMax,
    };
  });
}

/**
 * Uploads everything and compiles the step.
 *
 * @throws {TypeError} If the adapter does not fit the backbone.
 * @throws {RangeError} If sizes do not fit the backbone or the adapter's head.
 * @throws {SyntaxError} If a kernel does not compile.
 */
export async function createTrainer(gpu: Gpu, options: TrainerOptions): Promise<Trainer> {
  checkAdapter(options.adapter, options.backbone.config);
  const trainer = allocate(gpu, () => new Trainer(gpu, options));
  return await readyOrFreed(trainer);
}
