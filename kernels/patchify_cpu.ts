/** Sizes and constants of {@linkcode patchifyCpu}; meanings as in `PatchifyInput`. */
export interface CpuPatchify {
  batch: number;
  height: number;
  width: number;
  mean: readonly number[];
  std: readonly number[];
}

/** `patchify` in plain f64 loops: the definition the kernel is held to. */
export function patchifyCpu(
  pixels: ArrayLike<number>,
  { batch, height, width, mean, std }: CpuPatchify,
): Float64Array {
  const rows = new Float64Array(batch * height * width * 3);
  let out = 0;
  for (let b = 0; b < batch; b++) {
    for (let top = 0; top < height; top += 16) {
      for (let left = 0; left < width; left += 16) {
        for (let c = 0; c < 3; c++) {
          for (let ky = 0; ky < 16; ky++) {
            for (let kx = 0; kx < 16; kx++) {
              const pixel = (b * height + top + ky) * width + left + kx;
              rows[out++] = (pixels[3 * pixel + c]! / 255 - mean[c]!) / std[c]!;
            }
          }
        }
      }
    }
  }
  return rows;
}
