/**
 * Examines this machine: what training needs, whether it is there, and what to do where it is not.
 *
 *     deno task doctor
 *
 * Exit code 1 if training cannot work here.
 *
 * @module
 */
import { existsSync } from "node:fs";
import { statfs } from "node:fs/promises";
import { dirname } from "node:path";
import { decodePicture, openDecoder } from "../data/decode.ts";
import project from "../deno.json" with { type: "json" };
import { MODEL_NAMES, modelConfig } from "../model/config.ts";
import { cachedBackbone, hubCache } from "../model/hub.ts";
import { parseFlags, runScript } from "./cli.ts";
import { examineGpu } from "./doctor_gpu.ts";
import { bytes, check, type Finding, findingLine } from "./finding.ts";
import { layoutsFile } from "./layouts.ts";

/** What it is called and does. */
export const COMMAND = { name: "doctor", summary: "examines this machine and says what to do" };

/** Flags of the command. */
export const FLAGS = {
  seconds: { type: "number", unit: "s", default: 5, min: 0.01, help: "time to measure speed" },
} as const;

/** A run keeps four or more checkpoints of up to 200 MB. */
const DISK_WANTED = 2 * 2 ** 30;

/** Below this a machine swaps before it has read backbone and batches. */
const MEMORY_WANTED = 4 * 2 ** 30;

/** Runs the command. */
export async function main(args: string[]): Promise<void> {
  const { seconds } = parseFlags(COMMAND, FLAGS, args);
  const { os, arch } = Deno.build;
  console.log(`geolora ${project.version}, Deno ${Deno.version.deno}, ${os} ${arch}`);
  const bad: string[] = [];
  for await (const finding of examine(seconds)) {
    console.log(findingLine(finding));
    if (finding.state === "bad") bad.push(finding.name);
  }
  if (bad.length > 0) throw new Error(`Cannot train on this machine: see ${bad.join(", ")} above`);
  console.log("Training works on this machine");
}

async function* examine(seconds: number): AsyncGenerator<Finding> {
  yield* examineGpu(seconds);
  yield await check("memory", memory);
  yield await check("decoder", decoder, { todo: "run `deno install`" });
  yield await check("disk", disk);
  yield await check("cache", cache);
  yield await check("weights", weights);
}

/** Of the machine: WebGPU does not tell how much a GPU has. */
function memory(): Finding {
  const { total, available } = Deno.systemMemoryInfo();
  const found = `${bytes(available)} of ${bytes(total)} are available`;
  return available >= MEMORY_WANTED ? { name: "memory", state: "ok", found } : {
    name: "memory",
    state: "note",
    found,
    todo: "train with a small --micro_batch and --grad_checkpointing",
  };
}

/** Writes a picture and reads it. */
async function decoder(): Promise<Finding> {
  const decoder = await openDecoder();
  const size = { width: 1024, height: 768 };
  const pixels = new Uint8Array(size.width * size.height * 3).map((_, i) => i * i % 251);
  const jpeg = await decoder.encodeJpeg(pixels, size, 90);
  const start = performance.now();
  await decodePicture(jpeg, { width: 384, height: 384, name: "a picture", decoder });
  const ms = performance.now() - start;
  const found = `${decoder.name}, a 1024 x 768 JPEG in ${ms.toFixed(0)} ms`;
  return decoder.name === "sharp" ? { name: "decoder", state: "ok", found } : {
    name: "decoder",
    state: "note",
    found,
    todo: "sharp, which is faster, does not load: run `deno install`, and give --allow-ffi",
  };
}

async function disk(): Promise<Finding> {
  const free = await freeBytes(".");
  const found = `${bytes(free)} are free in ${Deno.cwd()}`;
  return free >= DISK_WANTED ? { name: "disk", state: "ok", found } : {
    name: "disk",
    state: "bad",
    found,
    todo: `a run wants ${bytes(DISK_WANTED)}, free some or give another --model_path`,
  };
}

async function cache(): Promise<Finding> {
  const path = hubCache();
  let there = path;
  while (!existsSync(there) && dirname(there) !== there) there = dirname(there);
  const free = bytes(await freeBytes(there));
  const found = `${path}${there === path ? "" : ", which will be made"}, ${free} free; ` +
    `tuned kernels: ${layoutsFile()}`;
  return { name: "cache", state: "ok", found };
}

async function weights(): Promise<Finding> {
  const found: string[] = [];
  for (const name of MODEL_NAMES) {
    if (await cachedBackbone(modelConfig(name)) !== null) found.push(name);
  }
  return found.length > 0 ? { name: "weights", state: "ok", found: found.join(", ") } : {
    name: "weights",
    state: "note",
    found: "none in the cache",
    todo: "get them with the command `weights`, or give --weights FILE",
  };
}

async function freeBytes(path: string): Promise<number> {
  const { bavail, bsize } = await statfs(path);
  return bavail * bsize;
}

if (import.meta.main) await runScript(main);
