/**
 * geolora: LoRA fine-tuning of DINOv3 for UAV visual geo-localization, on any GPU, without Python.
 *
 * Embed pictures, and find one among others:
 *
 * ```ts
 * import {
 *   backboneOfTensors,
 *   loadEmbedder,
 *   modelConfig,
 *   randomBackbone,
 *   searchGallery,
 * } from "@geolora/geolora";
 *
 * const config = modelConfig("vits16", { depth: 1 });
 * const weights = backboneOfTensors(randomBackbone(config, 0), config); // or "model.safetensors"
 * using embedder = await loadEmbedder({ weights, imgSize: 64 }); // and adapter: "final"
 * const paths = ["tests/pictures/drone.jpg", "tests/pictures/tile.jpg"]; // of the repository
 * const embeddings = await embedder.embedPictures(paths);
 * const [queries, gallery] = [embeddings.subarray(0, embedder.dim), embeddings.subarray(embedder.dim)];
 * const [best] = await searchGallery(embedder.gpu, { queries, gallery, dim: embedder.dim, k: 10 });
 * console.log(best!.top, best!.topScores); // references by cosine, best first
 * ```
 *
 * What commands are made of is exported below, by folder: kernels (WGSL and the engine that runs
 * it), model (backbone, adapters, training step, files), data (pairs, batches, pictures), eval
 * (ranks and metrics).
 *
 * @module
 */
export * from "./load_embedder.ts";
export * from "./kernels/gpu.ts";
export * from "./kernels/plan.ts";
export * from "./kernels/ring.ts";
export * from "./kernels/sites.ts";
export * from "./kernels/activate.ts";
export * from "./kernels/adamw.ts";
export * from "./kernels/attention.ts";
export * from "./kernels/column_sum.ts";
export * from "./kernels/gemm.ts";
export * from "./kernels/gemm_layout.ts";
export * from "./kernels/info_nce.ts";
export * from "./kernels/layer_norm.ts";
export * from "./kernels/normalise.ts";
export * from "./kernels/patchify.ts";
export * from "./kernels/pool.ts";
export * from "./kernels/rope.ts";
export * from "./kernels/search.ts";
export * from "./kernels/swiglu.ts";
export * from "./kernels/tokens.ts";
export * from "./kernels/top_k.ts";
export * from "./kernels/tune.ts";
export * from "./model/adapter.ts";
export type { Activations } from "./model/block.ts";
export * from "./model/config.ts";
export * from "./model/embedder.ts";
export * from "./model/encoder.ts";
export * from "./model/files.ts";
export * from "./model/hash_rule.ts";
export * from "./model/head.ts";
export * from "./model/init.ts";
export type { Linear, Lora } from "./model/linear.ts";
export * from "./model/memory.ts";
export * from "./model/merge.ts";
export * from "./model/network.ts";
export * from "./model/safetensors.ts";
export * from "./model/schedule.ts";
export * from "./model/trainables.ts";
export * from "./model/trainer.ts";
export * from "./model/weights.ts";
export {
  AUGMENT_DEFAULTS,
  type AugmentSettings,
  type Chance,
  parseAugmentSettings,
  type View,
  type ViewSettings,
} from "./data/augment_settings.ts";
export type { Sample } from "./data/augment.ts";
export type { ColourJitter } from "./data/colour.ts";
export type { Box, LowAltitude, Size } from "./data/crops.ts";
export type { DecodePool } from "./data/decode_pool.ts";
export type { PictureJob, PictureResult } from "./data/decode_worker.ts";
export { distanceMetres } from "./data/geo.ts";
export * from "./data/loader.ts";
export { type JsonObject, type MergeSource, mergeSources } from "./data/merge.ts";
export type { SampleOptions } from "./data/pair_jobs.ts";
export * from "./data/pairs.ts";
export type { Pixels } from "./data/pixels.ts";
export * from "./data/sampler.ts";
export {
  alignEmbeddings,
  type EmbeddingTensors,
  type NamedEmbeddings,
  normaliseRows,
  parseEmbeddings,
  pictureNames,
  takeRows,
  toTensors,
} from "./eval/embeddings.ts";
export * from "./eval/evaluate.ts";
export { listPictures } from "./eval/folder.ts";
export * from "./eval/lines.ts";
export type { MapGroup } from "./eval/maps.ts";
export * from "./eval/metrics.ts";
export * from "./eval/predictions.ts";
export * from "./eval/protocol.ts";
export * from "./eval/ranks.ts";
export { rankQueries } from "./eval/ranks_cpu.ts";
export type { Verdict } from "./eval/report/verdict.ts";
export * from "./eval/university.ts";
