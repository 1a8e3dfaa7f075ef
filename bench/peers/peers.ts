/**
 * Other libraries beside this one, on the same adapter, in turns: a table of ratios.
 *
 *     deno task bench:peers [--python /path/to/python3] [--gpu dawn] [--precision f16]
 *         [--rounds 3] [--json FILE]
 *
 * The first run fetches the packages from npm; PyTorch is left out where Python has none. Every
 * sample is a process of its own.
 *
 * @module
 */
import { fileURLToPath } from "node:url";
import { closeGpu, type Gpu, type Host, openGpu } from "../../kernels/gpu.ts";
import { modelConfig } from "../../model/config.ts";
import { parseFlags, runScript } from "../../scripts/cli.ts";
import { GPU_FLAGS, hostOf } from "../../scripts/flags.ts";
import { fmaCases } from "../ceilings.ts";
import { gemmCase } from "../gemm_cases.ts";
import { interleave, openClock, timeCases } from "../measure.ts";
import { type Cell, Report } from "../report.ts";
import { Room } from "../room.ts";
import { sampleEmbedding, sampleStep } from "../step_bench.ts";
import { GEMM } from "./peer.ts";
import type { PeerTimes } from "./run_peer.ts";

const COMMAND = { name: "bench:peers", summary: "times other libraries beside this one" };

const FLAGS = {
  python: {
    type: "string",
    unit: "file",
    default: "python3",
    help: "Python with torch, timm and peft",
  },
  device: {
    type: "string",
    choices: ["cpu", "cuda"],
    help: "PyTorch's; by default cuda beside a GPU",
  },
  ...GPU_FLAGS,
  batch_size: { type: "integer", unit: "pairs", default: 2, min: 2, help: "of the step" },
  precision: {
    type: "string",
    default: "f32",
    choices: ["f32", "f16"],
    help: "of step and embedding; f16 is PyTorch's autocast",
  },
  rounds: { type: "integer", default: 3, min: 1, help: "samples of each" },
  json: { type: "string", unit: "file", help: "write the table there too" },
} as const;

/** Files of this folder. */
const LIBRARIES = ["jax_js", "tfjs", "onnxruntime_web", "onnxruntime_node"] as const;
const SIZE = 256; // px
const RANK = 128;

/** Milliseconds of one round of everything; NaN where a library did not run. */
type Times = Record<string, number>;

async function main(args: string[]): Promise<void> {
  const flags = parseFlags(COMMAND, FLAGS, args);
  const gpu = await openGpu(hostOf(flags));
  await openClock(gpu);
  const device = flags.device ?? (gpu.isCpu ? "cpu" : "cuda");
  const report = new Report(gpu);
  const step = {
    ...{ config: modelConfig("vits16"), size: SIZE, pairs: flags.batch_size, rank: RANK },
    ...{ precision: flags.precision, dropout: 0, checkpointing: false },
  };
  let pyTorch = "";
  const tasks: (() => Promise<Times>)[] = [
    ...["geolora", ...LIBRARIES].map((name) => () => runLibrary(name, gpu.host)),
    async () => {
      const { times, words } = await runPyTorch({ ...flags, device });
      pyTorch = words;
      return times;
    },
    async () => ({ "step geolora": (await sampleStep(gpu, step)).wall }),
    async () => ({ "embedding geolora": (await sampleEmbedding(gpu, step)).wall }),
  ];
  const samples = (await interleave(flags.rounds, tasks)).flat();
  const kernel = await shareOfCeiling(gpu);
  closeGpu(gpu);
  const ms = (key: string) => Math.min(...samples.map((times) => times[key] ?? Infinity));

  const columns = ["work", "by", "min ms", "GFLOP/s", "its time / ours", "held to"];
  const images = 2 * flags.batch_size;
  const note = `${images} images in a step, ${flags.precision}; the gemm is f32${pyTorch}`;
  const row = report.table("peers", columns, note);
  const add = (
    work: string,
    by: string,
    { gflop, wanted }: { gflop?: number; wanted?: string },
  ) => {
    const time = ms(`${work} ${by}`);
    if (!Number.isFinite(time)) return; // has said why on stderr
    const ratio = by === "geolora" ? null : time / ms(`${work} geolora`);
    const cells: Cell[] = [work, by, time, gflop ? 1000 * gflop / time : null, ratio];
    row([...cells, wanted ?? null]);
  };
  const gflop = 2 * GEMM.m * GEMM.n * GEMM.k / 1e9;
  add("gemm", "geolora", { gflop });
  for (const name of LIBRARIES) {
    const isHeld = gpu.isCpu && (name === "jax_js" || name === "tfjs");
    add("gemm", name, { gflop, ...(isHeld && { wanted: ">= 10" }) });
  }
  add("gemm", "pytorch", { gflop });
  const percent = 100 * kernel.gemm / kernel.fma;
  row(["gemm as in the layer (nt), GPU time", "geolora", null, kernel.gemm, null, null]);
  row(["multiply-adds only", "geolora", null, kernel.fma, null, null]);
  const least = gpu.isCpu ? ">= 40" : ">= 60";
  row(["% of them that the gemm reaches", "geolora", null, null, percent, least]);
  add("embedding", "geolora", {});
  add("embedding", "pytorch", gpu.isCpu ? { wanted: ">= 0.25" } : {});
  add("step", "geolora", {});
  add("step", "pytorch", { wanted: gpu.isCpu ? ">= 0.2" : ">= 1" });
  if (flags.json !== null) {
    await report.save(flags.json);
    console.error(`wrote ${flags.json}`);
  }
}

/** A tenth of a second each: of a few, all may be of a slow spell of the machine. */
const SHARE_ROUNDS = 30;

/** GFLOP/s by timestamps: the product, and multiply-adds between registers, in turns. */
async function shareOfCeiling(gpu: Gpu): Promise<{ gemm: number; fma: number }> {
  const room = new Room(gpu);
  const shape = { form: "nt", ...GEMM } as const;
  const product = gemmCase(gpu, room, "gemm", { shape, precision: "f32" });
  const times = await timeCases(gpu, [product, ...fmaCases(gpu, room, "f32")], SHARE_ROUNDS);
  room.destroy();
  const [gemm, ...fma] = times.map((time) => time.flops / time.gpu.min / 1e6);
  return { gemm: gemm!, fma: Math.max(...fma) };
}

async function runLibrary(name: string, host: Host): Promise<Times> {
  const script = fileURLToPath(new URL("run_peer.ts", import.meta.url));
  const args = ["run", "-A", "--no-lock", script, name];
  const times = await runJson<PeerTimes>(Deno.execPath(), args, { GPU: host });
  return { [`gemm ${name}`]: times?.ms ?? NaN };
}

async function runPyTorch(
  { python, device, batch_size, precision }: {
    python: string;
    device: string;
    batch_size: number;
    precision: string;
  },
): Promise<{ times: Times; words: string }> {
  const script = fileURLToPath(new URL("pytorch_step.py", import.meta.url));
  const seconds = device === "cuda" ? 3 : 0; // a GPU needs a while until its clock is up
  const sizes = { device, images: 2 * batch_size, size: SIZE, rank: RANK, precision, seconds };
  const args = Object.entries(sizes).flatMap(([name, value]) => [`--${name}`, String(value)]);
  type Found = Record<"gemm" | "embedding" | "step" | "threads", number> & { torch: string };
  const found = await runJson<Found>(python, [script, ...args]);
  const works = ["gemm", "embedding", "step"] as const;
  return {
    times: Object.fromEntries(works.map((work) => [`${work} pytorch`, found?.[work] ?? NaN])),
    words: found ? `; PyTorch ${found.torch} on ${device}, ${found.threads} threads` : "",
  };
}

/** Last line that a process prints; null, and a line on stderr, where it fails. */
async function runJson<T>(
  command: string,
  args: string[],
  env: Record<string, string> = {},
): Promise<T | null> {
  const failed = (reason: string) => {
    console.error(`left out: ${command} ${args.join(" ")}: ${reason}`);
    return null;
  };
  try {
    const { success, stdout, stderr } = await new Deno.Command(command, { args, env }).output();
    const decode = (bytes: Uint8Array) =>
      new TextDecoder().decode(bytes).trim().split("\n").at(-1)!;
    return success ? JSON.parse(decode(stdout)) as T : failed(decode(stderr));
  } catch (error) {
    return failed((error as Error).message);
  }
}

if (import.meta.main) await runScript(main);
