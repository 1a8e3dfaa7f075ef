import { onnxMatMul } from "./onnx_matmul.ts";
import { GEMM, type OpenPeer } from "./peer.ts";

/** What is used of the package. */
interface Ort {
  InferenceSession: {
    create(model: Uint8Array, options: unknown): Promise<
      { run(feeds: Record<string, unknown>): Promise<{ c: { data: Float32Array } }> }
    >;
  };
  Tensor: new (type: string, data: Float32Array, dims: number[]) => unknown;
}

const PACKAGE = "npm:onnxruntime-node@1.30.0";

/** On the CPU itself, without WebGPU: what the machine can do. */
export const openPeer: OpenPeer = async (a, b) => {
  const { default: ort } = await import(PACKAGE) as { default: Ort };
  const options = { executionProviders: ["cpu"] };
  const session = await ort.InferenceSession.create(onnxMatMul(GEMM), options);
  const feeds = {
    a: new ort.Tensor("float32", a, [GEMM.m, GEMM.k]),
    b: new ort.Tensor("float32", b, [GEMM.k, GEMM.n]),
  };
  let product: Float32Array | null = null;
  return {
    run: async () => product = (await session.run(feeds)).c.data,
    read: () => Promise.resolve(product!),
  };
};
