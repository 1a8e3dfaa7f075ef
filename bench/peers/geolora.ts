import { gemm } from "../../kernels/gemm.ts";
import { createTensor, openGpu, readTensor, uploadTensor } from "../../kernels/gpu.ts";
import { Plan, runPlans } from "../../kernels/plan.ts";
import { GEMM, type OpenPeer } from "./peer.ts";

/** This project's kernel. */
export const openPeer: OpenPeer = async (a, b) => {
  const { m, n, k } = GEMM;
  const gpu = await openGpu();
  const c = createTensor(gpu, [m, n]);
  const plan = new Plan(gpu);
  gemm(plan, { form: "nn", a: uploadTensor(gpu, a, [m, k]), b: uploadTensor(gpu, b, [k, n]), c });
  await plan.ready();
  return { run: () => runPlans(gpu, [plan]), read: () => readTensor(gpu, c) };
};
