/**
 * What a library must do to be measured: every other file of this folder is one.
 *
 * @module
 */

/** c (M, N) = a (M, K) · b (K, N), f32: the qkv layer of ViT-S on 4 images of 256 px. */
export const GEMM = { m: 1044, n: 1152, k: 384 };

/** Operands on the GPU, and how to multiply them. */
export interface Peer {
  /** Queues one product. */
  run(): unknown;
  /** Waits for the last product and reads it. */
  read(): Promise<ArrayLike<number>>;
}

/** What a file of this folder exports as `openPeer`. */
export type OpenPeer = (
  a: Float32Array<ArrayBuffer>,
  b: Float32Array<ArrayBuffer>,
) => Promise<Peer>;
