/**
 * One library multiplies the matrices of a GEMM, in a process of its own:
 *
 *     deno run -A --no-lock bench/peers/run_peer.ts jax_js
 *
 * Prints one line of JSON, a {@linkcode PeerTimes}.
 *
 * @module
 */
import { gemmCpu } from "../../kernels/gemm_cpu.ts";
import { checkClose } from "../measure.ts";
import { takeRows } from "../room.ts";
import { uniform } from "../values.ts";
import { GEMM, type OpenPeer } from "./peer.ts";

/** What a process prints. */
export interface PeerTimes {
  /** Milliseconds a product, waiting and one readback shared by all of a sample. */
  ms: number;
}

const SAMPLE_MS = 500;
const MOST_CALLS = 2000;

async function main([name]: string[]): Promise<void> {
  const { openPeer } = await import(`./${name}.ts`) as { openPeer: OpenPeer };
  const { m, n, k } = GEMM;
  const a = uniform(m * k, 1);
  const b = uniform(k * n, 2);
  const peer = await openPeer(a, b);
  const dispatches = countDispatches();
  const sample = async (calls: number) => {
    const before = dispatches();
    const start = performance.now();
    for (let call = 0; call < calls; call++) await peer.run();
    const product = Float32Array.from(await peer.read());
    const ms = (performance.now() - start) / calls;
    const made = dispatches() - before;
    if (made > 0 && made < calls) { // none: it is not on WebGPU
      throw new Error(`Cannot time ${name}: it made ${made} products of ${calls}`);
    }
    return { ms, product };
  };
  const { product } = await sample(1); // compiles
  for (const row of [0, m >> 1, m - 1]) {
    const own = takeRows(a, k, [row]);
    const { c } = gemmCpu({ form: "nn", m: 1, n, first: { a: own, b, k } });
    checkClose(takeRows(product, n, [row]), c, 1e-5);
  }
  let { ms } = await sample(1);
  // A single call is mostly the wait for its result: of many it is not.
  for (const most of [40, MOST_CALLS]) {
    ({ ms } = await sample(Math.max(2, Math.min(most, Math.ceil(SAMPLE_MS / ms)))));
  }
  const times: PeerTimes = { ms };
  console.log(JSON.stringify(times));
  Deno.exit(0); // a library's device may hold the process
}

/** Counts dispatches from now on: a lazy library leaves out what nobody reads. */
function countDispatches(): () => number {
  let count = 0;
  const { prototype } = GPUComputePassEncoder;
  const { dispatchWorkgroups } = prototype;
  prototype.dispatchWorkgroups = function (...groups) {
    count++;
    return dispatchWorkgroups.apply(this, groups);
  };
  return () => count;
}

if (import.meta.main) await main(Deno.args);
