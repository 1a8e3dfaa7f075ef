import { GEMM, type OpenPeer } from "./peer.ts";

/** What is used of the packages. */
interface TfTensor {
  data(): Promise<Float32Array>;
  dispose(): void;
}
interface Tf {
  setBackend(name: string): Promise<boolean>;
  tensor2d(values: Float32Array, shape: number[]): TfTensor;
  matMul(a: TfTensor, b: TfTensor): TfTensor;
}

const CORE = "npm:@tensorflow/tfjs-core@4.22.0";
const BACKEND = "npm:@tensorflow/tfjs-backend-webgpu@4.22.0";

/** @see https://github.com/tensorflow/tfjs */
export const openPeer: OpenPeer = async (a, b) => {
  const tf = await import(CORE) as Tf;
  await import(BACKEND); // registers itself
  if (!await tf.setBackend("webgpu")) throw new Error("Cannot run tfjs: no WebGPU backend");
  const x = tf.tensor2d(a, [GEMM.m, GEMM.k]);
  const y = tf.tensor2d(b, [GEMM.k, GEMM.n]);
  let product: TfTensor | null = null;
  return {
    run() {
      product?.dispose();
      product = tf.matMul(x, y);
    },
    read: () => product!.data(),
  };
};
