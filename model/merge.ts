import { type Adapter, checkAdapter, loraScaling } from "./adapter.ts";
import type { FloatTensor } from "./safetensors.ts";
import { type Backbone, timmTensors } from "./weights.ts";

/**
 * The parameters of a backbone with an adapter folded in, W + s B A, summed in f64.
 *
 * @returns All parameters under timm's names; the head of the adapter is not among them.
 * @throws {TypeError} If the adapter does not fit the backbone.
 */
export function mergeAdapter(backbone: Backbone, adapter: Adapter): Map<string, FloatTensor> {
  checkAdapter(adapter, backbone.config);
  const tensors = timmTensors(backbone);
  for (const { name, rank, alpha, loraA, loraB } of adapter.modules) {
    const { shape, data } = tensors.get(`${name}.weight`)!;
    const scaling = loraScaling(rank, alpha, adapter.rslora);
    const [height, width] = shape as [number, number];
    const merged = new Float32Array(data.length);
    for (let row = 0; row < height; row++) {
      const sum = Float64Array.from(data.subarray(row * width, (row + 1) * width));
      for (let r = 0; r < rank; r++) {
        const factor = scaling * loraB[row * rank + r]!;
        for (let column = 0; column < width; column++) {
          sum[column]! += factor * loraA[r * width + column]!;
        }
      }
      merged.set(sum, row * width);
    }
    tensors.set(`${name}.weight`, { shape, data: merged });
  }
  return tensors;
}
