import type { Tensor } from "./gpu.ts";
import { grid1d } from "./grid.ts";
import type { Plan } from "./plan.ts";
import { requireTensors } from "./shape.ts";
import code from "./patchify.wgsl" with { type: "text" };

/** Red, green, blue. */
export type Rgb = readonly [number, number, number];

/** Tensors and constants of {@linkcode patchify}. */
export interface PatchifyInput {
  /** `(batch, height, width, 3)` u8, interleaved RGB; height and width are multiples of 16. */
  pixels: Tensor;
  /** `(batch * patches, 768)`, written: patches row-major, each in the order (colour, y, x). */
  rows: Tensor;
  /** Of pixels in [0, 1]. */
  mean: Rgb;
  /** Of pixels in [0, 1]. */
  std: Rgb;
}

/**
 * Records the normalisation of pixel bytes and their order as rows of 16 x 16 patches.
 *
 * @throws {RangeError} If shapes do not fit or a side of the images is no multiple of 16.
 * @throws {TypeError} If `pixels` is not u8.
 * @see Dosovitskiy et al. 2020, section 3.1, arXiv:2010.11929
 */
export function patchify(plan: Plan, { pixels, rows, mean, std }: PatchifyInput): void {
  const label = "patchify";
  const [batch = 0, height = 0, width = 0] = pixels.shape;
  if (!(height > 0 && width > 0 && height % 16 === 0 && width % 16 === 0)) {
    throw new RangeError(
      `Cannot run ${label}: pixels is (${pixels.shape}), height and width must be multiples of 16`,
    );
  }
  const patches = batch * (height / 16) * (width / 16);
  requireTensors(label, [
    ["pixels", pixels, [batch, height, width, 3], "u8"],
    ["rows", rows, [patches, 768], rows.dtype],
  ]);
  plan.add({
    label,
    code,
    constants: {
      ROWS: patches,
      HEIGHT: height,
      WIDTH: width,
      MEAN_R: mean[0],
      MEAN_G: mean[1],
      MEAN_B: mean[2],
      STD_R: std[0],
      STD_G: std[1],
      STD_B: std[2],
    },
    types: { Activation: rows.dtype },
    tensors: [pixels, rows],
    groups: grid1d(64 * patches, 64),
  });
}
