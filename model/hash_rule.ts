/**
 * Values made from a name and a seed, the same on every machine: backbones without a download, and
 * the inputs of the golden tests, which therefore need not be stored.
 *
 *     fnv(s)   = FNV-1a, 32 bit, of the UTF-8 bytes of s
 *     mix(x)   = x ^= x >> 16; x *= 0x85EBCA6B; x ^= x >> 13; x *= 0xC2B2AE35; x ^= x >> 16
 *     base     = mix(fnv(name) ^ (seed * 0x9E3779B9))                      all modulo 2^32
 *     u(i)     = (mix(base + i) >> 8) * 2^-23 - 1                          in [-1, 1)
 *     value(i) = offset + scale * u(i), rounded once to f32                i: row-major index
 *
 * @module
 */
import { sizeOf } from "../kernels/gpu.ts";
import { parameterShapes, type ViTConfig } from "./config.ts";

/** Values lie in `[offset - scale, offset + scale)`. */
export interface OffsetScale {
  /** Middle of the range. */
  offset: number;
  /** Half its width. */
  scale: number;
}

/**
 * Values of the rule.
 *
 * @param name For parameters timm's name, for LoRA PEFT's key in the file.
 * @param seed Whole number.
 * @param range By default that of {@linkcode offsetScale}.
 */
export function hashed(
  name: string,
  shape: readonly number[],
  seed: number,
  { offset, scale }: OffsetScale = offsetScale(name, shape),
): Float32Array<ArrayBuffer> {
  const values = new Float32Array(sizeOf(shape));
  const base = mix(fnv1a(name) ^ Math.imul(seed, 0x9E3779B9));
  for (let i = 0; i < values.length; i++) {
    values[i] = offset + scale * ((mix(base + i) >>> 8) * 2 ** -23 - 1);
  }
  return values;
}

/**
 * Range of a tensor: small enough weights for activations near 1 in any depth, and layer scales
 * near 0.5 rather than the 1e-5 of an untrained model, so that every branch matters.
 */
export function offsetScale(name: string, shape: readonly number[]): OffsetScale {
  const leaf = name.slice(name.lastIndexOf(".") + 1);
  if (name === "input.image") return { offset: 0, scale: 2 };
  if (name === "loss.dot") return { offset: 0, scale: 1 };
  if (leaf === "cls_token" || leaf === "reg_token") return { offset: 0, scale: 1 };
  if (leaf.startsWith("gamma_")) return { offset: 0.5, scale: 0.25 };
  if (leaf === "weight" && shape.length === 1) return { offset: 1, scale: 0.25 }; // layer norm
  if (leaf.endsWith("bias")) return { offset: 0, scale: 0.125 };
  // The largest power of two up to sqrt(3 / fan in), which would keep the variance.
  const scale = 2 ** Math.floor(Math.log2(3 / sizeOf(shape.slice(1))) / 2);
  // Twice that makes attention logits spread by about 2, far from a uniform softmax.
  return { offset: 0, scale: name.endsWith("attn.qkv.weight") ? 2 * scale : scale };
}

/** All parameters of a backbone by the rule, under timm's names. */
export function randomBackbone(
  config: ViTConfig,
  seed: number,
): Map<string, Float32Array<ArrayBuffer>> {
  const tensors = new Map<string, Float32Array<ArrayBuffer>>();
  for (const [name, shape] of parameterShapes(config)) {
    tensors.set(name, hashed(name, shape, seed));
  }
  return tensors;
}

function fnv1a(text: string): number {
  let hash = 2166136261;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 16777619);
  return hash;
}

/** The finaliser of MurmurHash3. */
function mix(x: number): number {
  x = Math.imul(x ^ (x >>> 16), 0x85EBCA6B);
  x = Math.imul(x ^ (x >>> 13), 0xC2B2AE35);
  return x ^ (x >>> 16);
}
