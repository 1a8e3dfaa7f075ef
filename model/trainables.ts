/**
 * Everything that is trained, in one flat buffer, which the optimiser walks over as a whole.
 *
 * @module
 */
import {
  createTensor,
  destroyTensor,
  type Gpu,
  readTensor,
  type Tensor,
  uploadTensor,
  viewTensor,
} from "../kernels/gpu.ts";
import { type Adapter, headTensors, type HeadWeights, type LoraModule } from "./adapter.ts";

/** Parameters start at multiples of this many floats: 256 bytes, the widest binding alignment. */
const ALIGN = 64;

/** ln(1 / 0.07), where CLIP starts. */
export const INITIAL_LOGIT_SCALE: number = Math.log(1 / 0.07);

/** One parameter: its matrix, and where the flat buffer holds it. */
interface Slot {
  rows: number;
  columns: number;
  /** Ranks are padded with zeros to a multiple of 4, and zeros they stay. */
  paddedRows: number;
  paddedColumns: number;
  start: number;
}

/** Options of {@linkcode Trainables}. */
export interface TrainablesOptions {
  /** Allocate gradients and moments. */
  training: boolean;
  /** logit_scale is a parameter like the others (default true), or a constant. */
  trainLogitScale?: boolean;
}

/** Ranks and other widths as kernels want them. */
export function padTo4(n: number): number {
  return Math.ceil(n / 4) * 4;
}

/** Elements of the flat buffer, where logit_scale is trained. */
export function flatSize(adapter: Adapter): number {
  return layOut(matricesOf(adapter, true)).size;
}

/** The parameters of an adapter on the GPU, with gradients and moments when it is trained. */
export class Trainables {
  readonly #gpu: Gpu;
  readonly #slots: ReadonlyMap<string, Slot>;
  /** The adapter as it was uploaded: its shape stays, its values are those of the beginning. */
  readonly adapter: Adapter;
  /** `(size)` f32. */
  readonly parameters: Tensor;
  /** `(size)` f32 each, or null outside of training. */
  readonly training: { gradients: Tensor; m: Tensor; v: Tensor } | null;
  /** `(1)` f32: ln of the inverse temperature. */
  readonly logitScale: Tensor;
  readonly dLogitScale: Tensor;

  /** @throws {RangeError} If a matrix does not fit its rank, or a width of the head is odd. */
  constructor(
    gpu: Gpu,
    adapter: Adapter,
    { training, trainLogitScale = true }: TrainablesOptions,
  ) {
    this.#gpu = gpu;
    this.adapter = adapter;
    const matrices = matricesOf(adapter, trainLogitScale);
    for (const { name, rows, columns, data } of matrices) {
      if (!Number.isInteger(rows) || !Number.isInteger(columns) || data.length !== rows * columns) {
        throw new RangeError(
          `Cannot use "${name}" as (${rows},${columns}): it has ${data.length} values`,
        );
      }
    }
    const { slots, size } = layOut(matrices);
    this.#slots = slots;
    const flat = new Float32Array(size);
    for (const { name, data } of matrices) {
      const { rows, columns, paddedColumns, start } = this.#slots.get(name)!;
      for (let row = 0; row < rows; row++) {
        flat.set(data.subarray(row * columns, (row + 1) * columns), start + row * paddedColumns);
      }
    }
    this.parameters = uploadTensor(gpu, flat, [size]);
    this.training = training
      ? {
        gradients: createTensor(gpu, [size]),
        m: createTensor(gpu, [size]),
        v: createTensor(gpu, [size]),
      }
      : null;
    if (trainLogitScale) {
      this.logitScale = this.parameter("logit_scale");
      this.dLogitScale = this.gradient("logit_scale") ?? createTensor(gpu, [1]);
    } else {
      this.logitScale = uploadTensor(gpu, logitScaleOf(adapter), [1]);
      this.dLogitScale = createTensor(gpu, [1]);
    }
  }

  /** Number of trained values, without padding. */
  get count(): number {
    let count = 0;
    for (const { rows, columns } of this.#slots.values()) count += rows * columns;
    return count;
  }

  /** A parameter by name, padded: `blocks.0.attn.qkv.lora_A` is (rank, in). */
  parameter(name: string): Tensor {
    return this.#view(this.parameters, name);
  }

  /** Its gradient, or null outside of training. */
  gradient(name: string): Tensor | null {
    return this.training && this.#view(this.training.gradients, name);
  }

  /** Names in the order of the flat buffer. */
  names(): string[] {
    return [...this.#slots.keys()];
  }

  #view(flat: Tensor, name: string): Tensor {
    const { start, paddedRows, paddedColumns } = this.#slots.get(name)!;
    const shape = paddedRows === 1 ? [paddedColumns] : [paddedRows, paddedColumns];
    return viewTensor(this.#gpu, flat, { start, shape });
  }

  /** Values of every parameter in one flat buffer of this layout, by name and without padding. */
  unpack(flat: Float32Array): Map<string, Float32Array<ArrayBuffer>> {
    return new Map([...this.#slots].map(([name, slot]) => {
      const { rows, columns, paddedColumns, start } = slot;
      const data = new Float32Array(rows * columns);
      for (let row = 0; row < rows; row++) {
        const from = start + row * paddedColumns;
        data.set(flat.subarray(from, from + columns), row * columns);
      }
      return [name, data];
    }));
  }

  /** Reads the parameters back as an adapter. Waits for the GPU. */
  async read(): Promise<Adapter> {
    const values = this.unpack(await readTensor(this.#gpu, this.parameters));
    const { modules, head, logitScale } = this.adapter;
    const [trained] = values.get("logit_scale") ?? [logitScale];
    return {
      ...this.adapter,
      modules: modules.map((module) => ({
        ...module,
        loraA: values.get(`${module.name}.lora_A`)!,
        loraB: values.get(`${module.name}.lora_B`)!,
      })),
      head: head && {
        ...head,
        weight1: values.get("head.0.weight")!,
        bias1: values.get("head.0.bias")!,
        weight2: values.get("head.3.weight")!,
        bias2: values.get("head.3.bias")!,
      },
      logitScale: trained ?? null,
    };
  }

  /** Frees all buffers. */
  destroy(): void {
    const shared = new Set([this.parameters.buffer, this.training?.gradients.buffer]);
    destroyTensor(this.#gpu, this.parameters);
    for (const tensor of Object.values(this.training ?? {})) destroyTensor(this.#gpu, tensor);
    for (const tensor of [this.logitScale, this.dLogitScale]) {
      if (!shared.has(tensor.buffer)) destroyTensor(this.#gpu, tensor);
    }
  }
}

interface Matrix {
  name: string;
  data: Float32Array;
  rows: number;
  columns: number;
  pads: "rows" | "columns" | "none";
}

function matrix(
  name: string,
  [rows, columns]: readonly [number, number],
  data: Float32Array,
  pads: Matrix["pads"] = "none",
): Matrix {
  return { name, data, rows, columns, pads };
}

function matricesOf(adapter: Adapter, trainLogitScale: boolean): Matrix[] {
  const { modules, head } = adapter;
  return [
    ...modules.flatMap(loraMatrices),
    ...(head ? headMatrices(head) : []),
    ...(trainLogitScale ? [matrix("logit_scale", [1, 1], logitScaleOf(adapter))] : []),
  ];
}

function logitScaleOf({ logitScale }: Adapter): Float32Array<ArrayBuffer> {
  return Float32Array.of(logitScale ?? INITIAL_LOGIT_SCALE);
}

/** Where each parameter lies. */
function layOut(matrices: readonly Matrix[]): { slots: Map<string, Slot>; size: number } {
  const slots = new Map<string, Slot>();
  let size = 0;
  for (const { name, rows, columns, pads } of matrices) {
    const paddedRows = pads === "rows" ? padTo4(rows) : rows;
    const paddedColumns = pads === "columns" ? padTo4(columns) : columns;
    slots.set(name, { rows, columns, paddedRows, paddedColumns, start: size });
    size += Math.ceil(paddedRows * paddedColumns / ALIGN) * ALIGN;
  }
  return { slots, size };
}

function loraMatrices({ name, rank, loraA, loraB }: LoraModule): Matrix[] {
  return [
    matrix(`${name}.lora_A`, [rank, loraA.length / rank], loraA, "rows"),
    matrix(`${name}.lora_B`, [loraB.length / rank, rank], loraB, "columns"),
  ];
}

function headMatrices(head: HeadWeights): Matrix[] {
  for (const name of ["hidden", "embedDim"] as const) {
    const size = head[name];
    if (size % 4 !== 0) {
      throw new RangeError(
        `Cannot use a head as ${name} must be a multiple of 4: current value is ${size}`,
      );
    }
  }
  return Array.from(headTensors(head), ([name, { shape, data }]) => {
    const [rows, columns] = shape.length === 1 ? [1, shape[0]!] : shape as [number, number];
    return matrix(name, [rows, columns], data);
  });
}
