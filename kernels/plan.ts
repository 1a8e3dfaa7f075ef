/**
 * A plan: kernels recorded once over fixed tensors, replayed as often as a run has steps.
 *
 * Recording compiles pipelines and {@linkcode Plan.ready} makes bind groups; replaying does neither and
 * allocates nothing, so a step costs the host one encode and a submit for each half TFLOP.
 *
 * @module
 */
import { readStamps, tickMs } from "./clock.ts";
import {
  byteSize,
  checkGpu,
  type DType,
  elementBytes,
  type Gpu,
  type Host,
  sizeOf,
  type Tensor,
} from "./gpu.ts";
import { copyToTexels, requireTexels, textureFor } from "./texels.ts";

/** What one dispatch binds and runs. */
export interface KernelRun {
  /** Kernel name: in every error, and the row of the profile. */
  label: string;
  /** WGSL source with entry point `main`. */
  code: string;
  /** WGSL sources of functions the kernel calls, put before it. */
  include?: readonly string[];
  /** Values of the `override` constants. */
  constants?: Record<string, number>;
  /**
   * Element types: each line `alias NAME = f32;` of the source takes the given type, so that
   * one valid file serves f32 and f16 storage.
   */
  types?: Record<string, DType>;
  /** Tensors at bindings 0, 1, ... of the WGSL: storage, uniforms, or textures by `asTexels`. */
  tensors: readonly Tensor[];
  /** Bindings that the kernel reads as textures: their tensors fit, as `fitsTexels` says. */
  asTexels?: readonly number[];
  /** Workgroups to start along x, y, z. */
  groups: readonly [number, number, number];
  /** Floating-point operations, for the profile. */
  flops?: number;
  /** Bytes that must move, for the profile; by default every bound tensor once, not its copies. */
  bytes?: number;
}

/** One row of {@linkcode Plan.profile}. */
export interface ProfileRow {
  /** Of the kernel, as it was recorded. */
  label: string;
  /** Dispatches with this label. */
  calls: number;
  /** GPU time of all calls, copies to textures included, in milliseconds. */
  ms: number;
  /** Floating-point operations of all calls. */
  flops: number;
  /** Bytes that all calls must move. */
  bytes: number;
}

/** A run of elements of one tensor copied over a run of another. */
export interface TensorCopy {
  from: Tensor;
  /** First element, default 0. */
  fromStart?: number;
  to: Tensor;
  toStart?: number;
  /** Elements; the tensors have one type. */
  count: number;
}

/** Encodes a copy. */
type Copy = (encoder: GPUCommandEncoder) => void;

interface Dispatch {
  label: string;
  /** What is copied for it, before it. */
  copies: Copy[];
  pipeline: GPUComputePipeline;
  bindGroup: GPUBindGroup | null;
  groups: readonly [number, number, number];
  flops: number;
  bytes: number;
}

/** Tint does not know that lanes of a subgroup are neighbours, so that what they share is uniform. */
const MATRIX_DIRECTIVES = `enable chromium_experimental_subgroup_matrix;
diagnostic(off, chromium.subgroup_matrix_uniformity);
`;

/** The source a run compiles: aliases replaced, includes and directives in front. */
export function wgslOf({ label, code, include = [], types = {} }: KernelRun, host: Host): string {
  let body = [...include, code].join("\n");
  let usesF16 = false;
  for (const [name, dtype] of Object.entries(types)) {
    const line = `alias ${name} = f32;`;
    if (!body.includes(line)) throw new TypeError(`Cannot compile kernel "${label}": no "${line}"`);
    body = body.replace(line, `alias ${name} = ${dtype};`);
    usesF16 ||= dtype === "f16";
  }
  // naga knows subgroup operations but not the line that Tint wants before them.
  const usesSubgroups = host !== "deno" && /\bsubgroup[A-Z]/.test(body);
  const usesMatrix = /\bsubgroup_matrix_/.test(body);
  return (usesF16 ? "enable f16;\n" : "") + (usesSubgroups ? "enable subgroups;\n" : "") +
    (usesMatrix ? MATRIX_DIRECTIVES : "") + body;
}

type Command = Dispatch | Copy;

function isCopy(command: Command): command is Copy {
  return typeof command === "function";
}

/** What a command copies, before its kernel if it has one. */
function copiesOf(command: Command): readonly Copy[] {
  return isCopy(command) ? [command] : command.copies;
}

/** A kernel without its tensors: textures are made when all that want one are known. */
interface Unbound {
  run: KernelRun;
  dispatch: Dispatch;
}

/**
 * All that a plan has recorded, for what encodes it.
 *
 * @throws {Error} If the plan is not ready.
 */
let commandsOf: (plan: Plan) => Command[];

/** Kernels over fixed tensors, in order. */
export class Plan {
  readonly #gpu: Gpu;
  #unbound: Unbound[] = [];
  #failure: SyntaxError | null = null;
  readonly #parts: Command[][] = [[]];
  #open = this.#parts[0]!;
  readonly #checks: { label: string; error: Promise<GPUError | null> }[] = [];

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  /** The device the plan runs on. */
  get gpu(): Gpu {
    return this.#gpu;
  }

  /**
   * Records one kernel. What the device refuses is thrown by {@linkcode ready}.
   *
   * @throws {RangeError} If the grid is larger than WebGPU allows.
   * @throws {TypeError} If a tensor that is to be read as a texture does not fit one.
   */
  add(run: KernelRun): void {
    const { label, tensors, asTexels = [], groups } = run;
    const most = this.#gpu.device.limits.maxComputeWorkgroupsPerDimension;
    if (!groups.every((n) => n >= 1 && n <= most)) {
      throw new RangeError(
        `Cannot run kernel "${label}" on (${groups}) workgroups: each must be 1 to ${most}`,
      );
    }
    for (const binding of asTexels) requireTexels(label, tensors[binding]!);
    this.#checked(label, () => {
      const pipeline = this.#pipeline(run);
      const { flops = 0, bytes = this.#bytesOf(tensors) } = run;
      const dispatch = { label, copies: [], pipeline, bindGroup: null, groups, flops, bytes };
      this.#open.push(dispatch);
      this.#unbound.push({ run, dispatch });
    });
  }

  /** Has {@linkcode ready} throw what the device refuses meanwhile. */
  #checked(label: string, use: () => void): void {
    const { device } = this.#gpu;
    device.pushErrorScope("validation");
    try {
      use();
    } finally { // a scope left open would swallow every later error
      this.#checks.push({ label, error: device.popErrorScope() });
    }
  }

  #bind({ run: { tensors, asTexels = [] }, dispatch }: Unbound): void {
    const textures = new Map(
      asTexels.map((binding, slot) => [binding, textureFor(this.#gpu, tensors[binding]!, slot)]),
    );
    dispatch.copies = asTexels.map((binding) => (encoder) =>
      copyToTexels(encoder, tensors[binding]!, textures.get(binding)!)
    );
    dispatch.bindGroup = this.#bindGroup(dispatch.pipeline, tensors, textures);
  }

  #bindGroup(
    pipeline: GPUComputePipeline,
    tensors: readonly Tensor[],
    textures: ReadonlyMap<number, GPUTexture>,
  ): GPUBindGroup {
    return this.#gpu.device.createBindGroup({
      layout: pipeline.getBindGroupLayout(0),
      entries: tensors.map((tensor, binding) => ({
        binding,
        resource: textures.get(binding)?.createView() ?? {
          buffer: tensor.buffer,
          offset: tensor.offset,
          // vec4 arrays need whole vec4s; buffers are made of them.
          size: Math.max(16, Math.ceil(byteSize(tensor) / 16) * 16),
        },
      })),
    });
  }

  #bytesOf(tensors: readonly Tensor[]): number {
    const { none, noneWritten } = this.#gpu;
    return [...new Set(tensors)].filter((tensor) => tensor !== none && tensor !== noneWritten)
      .reduce((sum, tensor) => sum + byteSize(tensor), 0);
  }

  /**
   * Records a copy: for parts that start where no binding may.
   *
   * @throws {RangeError} If a part is no multiple of 4 bytes or reaches past its tensor.
   */
  copy({ from, fromStart = 0, to, toStart = 0, count }: TensorCopy): void {
    const bytes = elementBytes(from.dtype);
    const fromOffset = from.offset + fromStart * bytes;
    const toOffset = to.offset + toStart * bytes;
    const size = count * bytes;
    const isInside = (start: number, { shape }: Tensor) =>
      start >= 0 && count >= 0 && start + count <= sizeOf(shape);
    if (
      from.dtype !== to.dtype || [fromOffset, toOffset, size].some((n) => n % 4 !== 0) ||
      !isInside(fromStart, from) || !isInside(toStart, to)
    ) {
      throw new RangeError(
        `Cannot copy ${count} elements from ${fromStart} of (${from.shape}) ${from.dtype} ` +
          `to ${toStart} of (${to.shape}) ${to.dtype}`,
      );
    }
    this.#open.push((encoder) =>
      encoder.copyBufferToBuffer(from.buffer, fromOffset, to.buffer, toOffset, size)
    );
  }

  #pipeline(run: KernelRun): GPUComputePipeline {
    const { device, pipelines } = this.#gpu;
    const code = wgslOf(run, this.#gpu.host);
    const key = JSON.stringify(run.constants ?? {}) + code;
    let pipeline = pipelines.get(key);
    if (pipeline === undefined) {
      pipeline = device.createComputePipeline({
        label: run.label,
        layout: "auto",
        compute: {
          module: device.createShaderModule({ label: run.label, code }),
          entryPoint: "main",
          constants: run.constants ?? {},
        },
      });
      pipelines.set(key, pipeline);
    }
    return pipeline;
  }

  /**
   * Records a part that can be recorded anew.
   *
   * @param record Adds kernels to this plan; it must not open a part itself.
   * @returns Runs `record` again: what it adds takes the place of what it added before.
   */
  part(record: () => void): () => void {
    const part: Command[] = [];
    const rest: Command[] = [];
    this.#parts.push(part, rest);
    const fill = () => {
      const open = this.#open;
      part.length = 0;
      this.#open = part;
      try {
        record();
      } finally {
        this.#open = open;
      }
    };
    fill();
    this.#open = rest;
    return fill;
  }

  /**
   * Makes what is left to be made, and waits until every kernel is known to be good.
   *
   * @throws {SyntaxError} If a kernel does not compile or a binding does not fit.
   */
  async ready(): Promise<void> {
    const unbound = this.#unbound.splice(0);
    const wanted = unbound.flatMap(({ run: { tensors, asTexels = [] } }) =>
      asTexels.map((binding, slot) => ({ tensor: tensors[binding]!, slot }))
    );
    wanted.sort((a, b) => sizeOf(b.tensor.shape) - sizeOf(a.tensor.shape));
    for (const { tensor, slot } of wanted) textureFor(this.#gpu, tensor, slot);
    for (const each of unbound) this.#checked(each.dispatch.label, () => this.#bind(each));
    for (const { label, error } of this.#checks.splice(0)) {
      const found = await error;
      if (!found) continue;
      throw this.#failure = new SyntaxError(`Cannot compile kernel "${label}": ${found.message}`);
    }
  }

  static {
    commandsOf = (plan) => plan.#commands();
  }

  /** All kernels and copies, in order. */
  #commands(): Command[] {
    if (this.#failure) throw this.#failure;
    const [first] = this.#unbound;
    if (first) throw new Error(`Cannot run kernel "${first.run.label}": its plan is not ready`);
    return this.#parts.flat();
  }

  /**
   * Runs the plan once with a timestamp around every kernel.
   *
   * @returns A row a label, the longest first.
   * @throws {Error} If the adapter has no timestamps.
   */
  async profile(): Promise<ProfileRow[]> {
    if (!this.#gpu.hasTimestamps) {
      throw new Error("Cannot profile: the adapter has no timestamp-query");
    }
    const commands = this.#commands();
    if (commands.length === 0) return [];
    const times = new Float64Array(commands.length);
    const tick = await tickMs(this.#gpu);
    let start = 0;
    for (const part of submitsOf(this.#gpu, commands, SLOTS)) {
      const stamps = await readStamps(this.#gpu, 2 * part.length, (encoder, querySet) => {
        part.forEach((command, i) => encodeTimed(encoder, command, { querySet, slot: 2 * i }));
      });
      for (let i = 0; i < part.length; i++) {
        const ticks = Number(stamps[2 * i + 1]! - stamps[2 * i]!);
        times[start + i] = Math.max(0, ticks) * tick; // drivers may step back between passes
      }
      start += part.length;
    }
    return sumByLabel(commands, times);
  }
}

/** Commands a query set: WebGPU allows 4096 timestamps. */
const SLOTS = 1024;

/**
 * Floating-point operations of one submit. Systems stop a GPU that is at one piece of work for two
 * seconds (Windows) to twenty (Linux on Intel's), which a step on a small GPU may well take; a submit
 * costs 0.1 ms. Nothing stops a CPU adapter, and Mesa's would wait with each submit for the last one.
 */
const SUBMIT_FLOPS = 5e11;

/** Cuts commands into those of a submit, of at most `longest`; at least one, which may be empty. */
function submitsOf({ isCpu }: Gpu, commands: readonly Command[], longest: number): Command[][] {
  const most = isCpu ? Infinity : SUBMIT_FLOPS;
  let part: Command[] = [];
  const parts = [part];
  let flops = 0;
  for (const command of commands) {
    const more = isCopy(command) ? 0 : command.flops;
    if (part.length === longest || (flops > 0 && flops + more > most)) {
      parts.push(part = []);
      flops = 0;
    }
    part.push(command);
    flops += more;
  }
  return parts;
}

/** Encodes a command with timestamps around it; copies have them too. */
function encodeTimed(
  encoder: GPUCommandEncoder,
  command: Command,
  { querySet, slot }: { querySet: GPUQuerySet; slot: number },
): void {
  const begin = { beginningOfPassWriteIndex: slot };
  const end = { querySet, endOfPassWriteIndex: slot + 1 };
  const copies = copiesOf(command); // are part of a kernel's time
  const hasCopies = copies.length > 0;
  if (hasCopies) encoder.beginComputePass({ timestampWrites: { querySet, ...begin } }).end();
  for (const copy of copies) copy(encoder);
  const timestampWrites = hasCopies ? end : { ...begin, ...end };
  const pass = encoder.beginComputePass({ timestampWrites });
  if (!isCopy(command)) dispatch(pass, command);
  pass.end();
}

function dispatch(pass: GPUComputePassEncoder, { pipeline, bindGroup, groups }: Dispatch): void {
  pass.setPipeline(pipeline);
  pass.setBindGroup(0, bindGroup);
  pass.dispatchWorkgroups(...groups);
}

function sumByLabel(commands: readonly Command[], times: Float64Array): ProfileRow[] {
  const rows = new Map<string, ProfileRow>();
  commands.forEach((command, i) => {
    if (isCopy(command)) return;
    const { label, flops, bytes } = command;
    const row = rows.get(label) ?? { label, calls: 0, ms: 0, flops: 0, bytes: 0 };
    row.calls++;
    row.ms += times[i]!;
    row.flops += flops;
    row.bytes += bytes;
    rows.set(label, row);
  });
  return [...rows.values()].sort((a, b) => b.ms - a.ms);
}

/**
 * Encodes plans one after the other, then what `after` encodes.
 *
 * @returns What is left to submit, for {@linkcode submit}.
 * @throws {Error} If the device has reported an error, or a plan is not ready.
 */
export function encodePlans(
  gpu: Gpu,
  plans: readonly Plan[],
  after?: (encoder: GPUCommandEncoder) => void,
): GPUCommandBuffer[] {
  checkGpu(gpu);
  const parts = submitsOf(gpu, plans.flatMap(commandsOf), Infinity);
  return parts.map((part, i) => {
    const encoder = gpu.device.createCommandEncoder();
    let pass: GPUComputePassEncoder | null = null;
    for (const command of part) {
      for (const copy of copiesOf(command)) {
        pass?.end();
        pass = null;
        copy(encoder);
      }
      if (!isCopy(command)) dispatch(pass ??= encoder.beginComputePass(), command);
    }
    pass?.end();
    if (i === parts.length - 1) after?.(encoder);
    return encoder.finish();
  });
}

/** Queues what was encoded, each in a submit of its own. */
export function submit({ device }: Gpu, encoded: readonly GPUCommandBuffer[]): void {
  for (const commands of encoded) device.queue.submit([commands]);
}

/**
 * Queues plans one after the other.
 *
 * @throws {Error} If the device reported an error since the last call.
 */
export function runPlans(gpu: Gpu, plans: readonly Plan[]): void {
  submit(gpu, encodePlans(gpu, plans));
}

/**
 * Records and runs kernels once: for tests, benchmarks and work outside the steps.
 *
 * @throws {SyntaxError} If a kernel does not compile.
 */
export async function runOnce(gpu: Gpu, record: (plan: Plan) => void): Promise<void> {
  const plan = new Plan(gpu);
  record(plan);
  await plan.ready();
  runPlans(gpu, [plan]);
}
