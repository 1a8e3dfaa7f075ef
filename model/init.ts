import type { Adapter, HeadWeights, LoraModule } from "./adapter.ts";
import { parameterShapes, type ViTConfig } from "./config.ts";
import { hashed } from "./hash_rule.ts";
import { INITIAL_LOGIT_SCALE } from "./trainables.ts";

/** Layers that take an adapter by default; a gated MLP has fc1_g and fc1_x for fc1. */
export const LORA_TARGETS: readonly string[] = ["attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2"];

/** Shape of a new adapter. */
export interface AdapterOptions {
  /** Rows r of each lora_A, at least 1. */
  rank: number;
  /** Numerator of the scaling alpha / r; the recipe's is twice the rank. */
  alpha: number;
  /** Probability that an input of an adapter, or a hidden unit of the head, is dropped. */
  dropout: number;
  /** Layers of each block, of {@linkcode LORA_TARGETS}. */
  targets: readonly string[];
  /** Null: embeddings are the pooled tokens. */
  head: Pick<HeadWeights, "hidden" | "embedDim"> | null;
  /** Of the random values. */
  seed: number;
}

/**
 * An untrained adapter: lora_A uniform in ±1/√in, lora_B zero, the head as PyTorch's Linear, and
 * logit_scale ln(1 / 0.07).
 *
 * @throws {RangeError} If a target is not a layer of the backbone.
 * @see PEFT `init_lora_weights=True`; `torch.nn.Linear.reset_parameters`
 */
export function initialAdapter(
  config: ViTConfig,
  { rank, alpha, dropout, targets, head, seed }: AdapterOptions,
): Adapter {
  const random = (name: string, shape: readonly [number, number], width: number = shape[1]) =>
    hashed(name, shape, seed, { offset: 0, scale: 1 / Math.sqrt(width) });
  const wanted = targets.flatMap((target) =>
    config.gated && target === "mlp.fc1" ? ["mlp.fc1_g", "mlp.fc1_x"] : [target]
  );
  const modules: LoraModule[] = [];
  for (const [key, shape] of parameterShapes(config)) {
    const name = /^(blocks\.\d+\.((?:attn|mlp)\..+))\.weight$/.exec(key);
    if (!name || !wanted.includes(name[2]!)) continue;
    const [out, width] = shape as [number, number];
    modules.push({
      name: name[1]!,
      rank,
      alpha,
      loraA: random(`${name[1]}.lora_A`, [rank, width]),
      loraB: new Float32Array(out * rank),
    });
  }
  if (modules.length !== wanted.length * config.depth) {
    throw new RangeError(
      `Cannot adapt "${targets.join(",")}" of ${config.name}: expected some of ${
        LORA_TARGETS.join(", ")
      }`,
    );
  }
  const width = config.embedDim;
  return {
    modules,
    head: head && {
      ...head,
      weight1: random("head.0.weight", [head.hidden, width]),
      bias1: random("head.0.bias", [head.hidden, 1], width),
      weight2: random("head.3.weight", [head.embedDim, head.hidden]),
      bias2: random("head.3.bias", [head.embedDim, 1], head.hidden),
    },
    logitScale: INITIAL_LOGIT_SCALE,
    dropout,
    rslora: false,
    baseModel: config.name,
    input: null,
  };
}
