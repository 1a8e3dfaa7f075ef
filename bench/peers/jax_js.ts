import { GEMM, type OpenPeer } from "./peer.ts";

/** What is used of the package; arrays are freed by their last use, `ref` keeps one more. */
interface JaxArray {
  ref: JaxArray;
  reshape(shape: number[]): JaxArray;
  data(): Promise<Float32Array>;
  gpuBuffer(): Promise<unknown>;
  dispose(): void;
}
interface Jax {
  init(): Promise<string[]>;
  defaultDevice(name: string): void;
  numpy: {
    array(values: Float32Array): JaxArray;
    matmul(a: JaxArray, b: JaxArray): JaxArray;
  };
}

const PACKAGE = "npm:@jax-js/jax@0.1.25";

/** @see https://github.com/ekzhang/jax-js */
export const openPeer: OpenPeer = async (a, b) => {
  const { init, defaultDevice, numpy } = await import(PACKAGE) as Jax;
  await init();
  defaultDevice("webgpu");
  const x = numpy.array(a).reshape([GEMM.m, GEMM.k]);
  const y = numpy.array(b).reshape([GEMM.k, GEMM.n]);
  let product: JaxArray | null = null;
  return {
    async run() {
      product?.dispose();
      product = numpy.matmul(x.ref, y.ref);
      await product.ref.gpuBuffer(); // queues it: a product that nobody asks for is never made
    },
    read: () => product!.ref.data(),
  };
};
