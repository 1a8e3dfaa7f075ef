import { join } from "node:path";
import sharp from "sharp";
import { modelConfig } from "../../model/config.ts";
import { randomBackbone } from "../../model/hash_rule.ts";
import { type FloatTensor, writeSafetensors } from "../../model/safetensors.ts";
import { backboneOfTensors, timmTensors } from "../../model/weights.ts";
import { uniform } from "../testing.ts";

/** Entry of a pairs file for one place. */
export function pair(query: string, reference: string): Record<string, unknown> {
  return {
    drone_img_dir: "drone",
    drone_img_name: query,
    sate_img_dir: "satellite",
    pair_pos_sate_img_list: [reference],
    pair_pos_sate_weight_list: [0.5],
  };
}

/** Weights of a ViT-S by the hash rule. */
export function tinyWeights(seed = 0): Map<string, FloatTensor> {
  const config = modelConfig("vit_small_patch16_dinov3");
  return timmTensors(backboneOfTensors(randomBackbone(config, seed), config));
}

/**
 * Writes `places` places, each seen from a drone and from a satellite, as `drone/N.jpg` and
 * `satellite/N.jpg`, with `pairs.json` and `weights.safetensors`.
 */
export async function writeTinyWorld(folder: string, places: number): Promise<void> {
  for (const name of ["drone", "satellite"]) await Deno.mkdir(join(folder, name));
  for (let place = 0; place < places; place++) {
    const coarse = Uint8Array.from(uniform(6 * 6 * 3, place + 1), (x) => 128 + 120 * x);
    const ground = sharp(coarse, { raw: { width: 6, height: 6, channels: 3 } })
      .resize(96, 96, { kernel: "cubic" });
    await ground.clone().jpeg().toFile(join(folder, `satellite/${place}.jpg`));
    await ground.clone().modulate({ brightness: 0.8 }).jpeg()
      .toFile(join(folder, `drone/${place}.jpg`));
  }
  const pairs = Array.from({ length: places }, (_, i) => pair(`${i}.jpg`, `${i}.jpg`));
  await Deno.writeTextFile(join(folder, "pairs.json"), JSON.stringify(pairs));
  await writeSafetensors(join(folder, "weights.safetensors"), tinyWeights());
}

/** Flags of a run on such a world that takes seconds. */
export function tinyFlags(folder: string): string[] {
  return [
    ["train_pairs_meta_file", "pairs.json"],
    ["data_root", folder],
    ["weights", join(folder, "weights.safetensors")],
    ["img_size", "32"],
    ["batch_size", "4"],
    ["lora_r", "4"],
    ["lora_alpha", "8"],
    ["mlp_hidden", "32"],
    ["embed_dim", "16"],
    ["epochs", "2"],
    ["num_workers", "1"],
    ["model_path", join(folder, "runs")],
  ].flatMap(([name, value]) => [`--${name}`, value!]);
}
