import { onnxMatMul } from "./onnx_matmul.ts";
import { GEMM, type OpenPeer } from "./peer.ts";

/** What is used of the package. */
interface OrtTensor {
  getData(release: boolean): Promise<Float32Array>;
  dispose(): void;
}
interface Ort {
  env: { wasm: { numThreads: number }; webgpu: { device: Promise<GPUDevice> } };
  InferenceSession: {
    create(model: Uint8Array, options: unknown): Promise<
      { run(feeds: Record<string, OrtTensor>): Promise<{ c: OrtTensor }> }
    >;
  };
  Tensor: { fromGpuBuffer(buffer: GPUBuffer, options: unknown): OrtTensor };
}

const PACKAGE = "npm:onnxruntime-web@1.30.0/webgpu";

/** @see https://github.com/microsoft/onnxruntime */
export const openPeer: OpenPeer = async (a, b) => {
  const ort = await import(PACKAGE) as Ort;
  ort.env.wasm.numThreads = 1;
  const session = await ort.InferenceSession.create(onnxMatMul(GEMM), {
    executionProviders: ["webgpu"],
    preferredOutputLocation: "gpu-buffer",
  });
  const device = await ort.env.webgpu.device;
  const upload = (values: Float32Array<ArrayBuffer>, dims: number[]) => {
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC;
    const buffer = device.createBuffer({ size: values.byteLength, usage });
    device.queue.writeBuffer(buffer, 0, values);
    return ort.Tensor.fromGpuBuffer(buffer, { dataType: "float32", dims });
  };
  const feeds = { a: upload(a, [GEMM.m, GEMM.k]), b: upload(b, [GEMM.k, GEMM.n]) };
  let product: OrtTensor | null = null;
  return {
    async run() {
      product?.dispose();
      product = (await session.run(feeds)).c;
    },
    read: () => product!.getData(false),
  };
};
