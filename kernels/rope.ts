/** A grid of patches, and the head it is for. */
export interface RopeGrid {
  /** Patches from top to bottom. */
  height: number;
  /** Patches from left to right. */
  width: number;
  /** Dimensions of an attention head, default 64; a multiple of 4. */
  headDim?: number;
  /** Longest period, in units of half the grid; default 100. */
  temperature?: number;
}

/** Cosines and sines of a grid's angles, `(height * width, headDim / 2)` each, row-major. */
export interface RopeTable {
  cos: Float32Array<ArrayBuffer>;
  sin: Float32Array<ArrayBuffer>;
}

/**
 * Rotary position embedding of DINOv3: the angles by which the halves of a query or key turn.
 *
 * The first half of a patch's angles is of its y, the second of its x; each axis runs over
 * (-1, 1) by its own length, patch centres at (i + 0.5) / length. Computed in f64, rounded to f32.
 *
 * @throws {RangeError} If the grid is empty or `headDim` is not a multiple of 4.
 * @see Simeoni et al. 2025, arXiv:2508.10104; timm `RotaryEmbeddingDinoV3`
 */
export function ropeTable(
  { height, width, headDim = 64, temperature = 100 }: RopeGrid,
): RopeTable {
  if (!(Number.isInteger(height) && Number.isInteger(width) && height > 0 && width > 0)) {
    throw new RangeError(
      `Cannot make a RoPE table of ${height} by ${width} patches: both must be whole and above 0`,
    );
  }
  if (!(headDim > 0 && headDim % 4 === 0)) {
    throw new RangeError(
      `Cannot make a RoPE table for heads of ${headDim}: it must be a multiple of 4`,
    );
  }
  const half = headDim / 2;
  const periods = headDim / 4;
  const cos = new Float32Array(height * width * half);
  const sin = new Float32Array(height * width * half);
  let i = 0;
  for (let py = 0; py < height; py++) {
    for (let px = 0; px < width; px++) {
      const y = 2 * (py + 0.5) / height - 1;
      const x = 2 * (px + 0.5) / width - 1;
      for (const coordinate of [y, x]) {
        for (let j = 0; j < periods; j++, i++) {
          const angle = 2 * Math.PI * coordinate / temperature ** (j / periods);
          cos[i] = Math.cos(angle);
          sin[i] = Math.sin(angle);
        }
      }
    }
  }
  return { cos, sin };
}
