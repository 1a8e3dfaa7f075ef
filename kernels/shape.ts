import { type DType, sizeOf, type Tensor } from "./gpu.ts";
import type { Dropout } from "./sites.ts";

/** What a kernel wants of one tensor. */
export type Wanted = readonly [
  name: string,
  tensor: Tensor,
  shape: readonly number[],
  dtype: DType,
];

/**
 * Rows and columns of a tensor: its last dimension is its columns, the others count as one.
 *
 * @throws {RangeError} If the columns do not fill whole vec4s.
 */
export function matrixOf(
  kernel: string,
  name: string,
  { shape }: Tensor,
): [rows: number, columns: number] {
  const columns = shape.at(-1) ?? 0;
  if (!(columns > 0 && columns % 4 === 0)) {
    throw new RangeError(
      `Cannot run ${kernel}: ${name} is (${shape}), its last dimension must be a multiple of 4`,
    );
  }
  return [sizeOf(shape) / columns, columns];
}

/**
 * Checks tensors against what a kernel wants; extra leading dimensions count as one.
 *
 * @throws {RangeError} If a shape differs.
 * @throws {TypeError} If an element type differs.
 */
export function requireTensors(kernel: string, wanted: readonly Wanted[]): void {
  for (const [name, tensor, shape, dtype] of wanted) {
    const message = `Cannot run ${kernel}: ${name} is (${tensor.shape}) ${tensor.dtype}, ` +
      `it must be (${shape}) ${dtype}`;
    const split = Math.max(0, tensor.shape.length - shape.length) + 1;
    const folded = [sizeOf(tensor.shape.slice(0, split)), ...tensor.shape.slice(split)];
    if (`${folded}` !== `${shape}`) throw new RangeError(message);
    if (tensor.dtype !== dtype) throw new TypeError(message);
  }
}

/**
 * Checks the rate and the site of a dropout.
 *
 * @throws {RangeError} If `rate` is outside [0, 1) or the site's shape differs.
 * @throws {TypeError} If the site's element type differs.
 */
export function requireDropout(kernel: string, dropout: Dropout): void {
  if (!dropout) return;
  const { rate, site } = dropout;
  requireTensors(kernel, [["dropout.site", site, [4], "u32"]]);
  if (!(rate >= 0 && rate < 1)) {
    throw new RangeError(
      `Cannot run ${kernel} as rate must be in [0, 1): current value is ${rate}`,
    );
  }
}
