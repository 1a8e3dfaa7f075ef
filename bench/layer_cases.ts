/**
 * The other kernels of the backbone at the shapes of a model and an image size.
 *
 * @module
 */
import { activate } from "../kernels/activate.ts";
import { activateCpu } from "../kernels/activate_cpu.ts";
import { attention, attentionBackward } from "../kernels/attention.ts";
import { attentionBackwardCpu, attentionCpu } from "../kernels/attention_cpu.ts";
import { layerNorm, layerNormBackward } from "../kernels/layer_norm.ts";
import { layerNormBackwardCpu, layerNormCpu } from "../kernels/layer_norm_cpu.ts";
import { patchify } from "../kernels/patchify.ts";
import { patchifyCpu } from "../kernels/patchify_cpu.ts";
import { pool, poolBackward } from "../kernels/pool.ts";
import { poolBackwardCpu, poolCpu } from "../kernels/pool_cpu.ts";
import { ropeTable } from "../kernels/rope.ts";
import { swiglu, swigluBackward } from "../kernels/swiglu.ts";
import { swigluBackwardCpu, swigluCpu } from "../kernels/swiglu_cpu.ts";
import { tokens as tokensKernel } from "../kernels/tokens.ts";
import { tokensCpu } from "../kernels/tokens_cpu.ts";
import { prefixTokens } from "../model/config.ts";
import type { CaseOptions } from "./gemm_cases.ts";
import { checkClose, type KernelCase } from "./measure.ts";
import { mostError, type Room, rowsToCheck, SITE, takeRows } from "./room.ts";

/** Attention, forward and backward. */
export function attentionCases(room: Room, options: CaseOptions): KernelCase[] {
  const { config, precision, size, images } = options;
  const { heads, embedDim: c, headDim: d, patch } = config;
  const prefix = prefixTokens(config);
  const side = size / patch;
  const tokens = side ** 2 + prefix;
  const rope = ropeTable({ height: side, width: side, headDim: d });
  const shape = [side ** 2, d / 2];
  const qkv = room.values([images, tokens, 3 * c], precision);
  const dOut = room.values([images, tokens, c], precision);
  const out = room.zeros([images, tokens, c], precision);
  const lse = room.zeros([images, heads, tokens]);
  const delta = room.zeros([images, heads, tokens]);
  const dQkv = room.zeros([images, tokens, 3 * c], precision);
  const tables = {
    cos: room.upload(rope.cos, shape, "f32"),
    sin: room.upload(rope.sin, shape, "f32"),
  };
  const input = { qkv: qkv.tensor, ...tables, out, lse, heads, prefix };

  /** The last head of the last image, as an attention of its own. */
  const lastHead = (values: Float32Array, parts: number) => {
    const before = (images - 1) * tokens * parts;
    const rows = Array.from(
      { length: tokens * parts },
      (_, i) => (before + i + 1) * heads - 1,
    );
    return takeRows(values, d, rows);
  };
  const one = { batch: 1, tokens, heads: 1, prefix, ...rope };
  const isHalf = precision === "f16";
  return [
    {
      name: "attention",
      isHalf,
      record: (plan) => attention(plan, input),
      async check() {
        const expected = attentionCpu(lastHead(qkv.host, 3), one).out;
        checkClose(lastHead(await room.read(out), 1), expected, mostError(precision));
      },
    },
    {
      name: "attention backward",
      isHalf,
      record: (plan) => attentionBackward(plan, { ...input, dOut: dOut.tensor, delta, dQkv }),
      async check() {
        const expected = attentionBackwardCpu(lastHead(qkv.host, 3), lastHead(dOut.host, 1), one);
        checkClose(lastHead(await room.read(dQkv), 3), expected, 10 * mostError(precision));
      },
    },
  ];
}

/** All that is bound by memory: norms, activations, and both ends of the backbone. */
export function rowCases(room: Room, options: CaseOptions): KernelCase[] {
  const { config, precision, size, images } = options;
  const { embedDim: c, mlpHidden: h, patch, mean, std } = config;
  const prefix = prefixTokens(config);
  const patches = (size / patch) ** 2;
  const tokens = patches + prefix;
  const rows = images * tokens;
  const checked = rowsToCheck(rows);
  const most = mostError(precision);
  const x = room.values([images, tokens, c]);
  const weight = room.values([c]);
  const bias = room.values([c]);
  const dy = room.values([rows, c], precision);
  const y = room.zeros([rows, c], precision);
  const stats = room.zeros([rows, 2]);
  const dx = room.zeros([images, tokens, c]);
  const wide = room.values([rows, h], precision);
  const wide2 = room.values([rows, h], precision);
  const wideOut = room.zeros([rows, h], precision);
  const wideOut2 = room.zeros([rows, h], precision);
  const site = room.upload(Uint32Array.from(Object.values(SITE)), [4], "u32");
  const pixels = Uint8Array.from(
    { length: images * size ** 2 * 3 },
    (_, i) => i * 2654435761 >>> 24,
  );
  const pixelTensor = room.upload(pixels, [images, size, size, 3], "u8");
  const patchRows = room.zeros([images * patches, 3 * patch ** 2], precision);
  const embedded = room.values([images * patches, c]);
  const first = room.values([prefix, c]);
  const pooled = room.zeros([images, c]);
  const dPooled = room.values([images, c]);
  const pick = (values: Float32Array, columns: number) => takeRows(values, columns, checked);
  const image = { batch: 1, tokens, columns: c, mode: "avg", prefix } as const;
  const lastImage = (values: Float32Array) => values.slice(-values.length / images);
  return [
    {
      name: "patchify",
      record: (plan) => patchify(plan, { pixels: pixelTensor, rows: patchRows, mean, std }),
      async check() {
        const own = pixels.subarray((images - 1) * size ** 2 * 3);
        const sizes = { batch: 1, height: size, width: size, mean, std };
        checkClose(lastImage(await room.read(patchRows)), patchifyCpu(own, sizes), most);
      },
    },
    {
      name: "tokens",
      record: (plan) =>
        tokensKernel(plan, { patches: embedded.tensor, prefix: first.tensor, x: dx }),
      async check() {
        const expected = tokensCpu(lastImage(embedded.host), first.host, 1);
        checkClose(lastImage(await room.read(dx)), expected, most);
      },
    },
    {
      name: "layer_norm",
      record: (plan) =>
        layerNorm(plan, { x: x.tensor, weight: weight.tensor, bias: bias.tensor, y, stats }),
      async check() {
        const expected = layerNormCpu(pick(x.host, c), weight.host, bias.host);
        checkClose(pick(await room.read(y), c), expected.y, most);
      },
    },
    {
      name: "layer_norm backward",
      record: (plan) =>
        layerNormBackward(plan, {
          dy: dy.tensor,
          x: x.tensor,
          weight: weight.tensor,
          stats, // of the forward, which has run
          residual: x.tensor,
          dx,
          scale: bias.tensor,
          scaled: y,
        }),
      async check() {
        const own = pick(x.host, c);
        const { stats } = layerNormCpu(own, weight.host, bias.host);
        const gradient = { dy: pick(dy.host, c), x: own, weight: weight.host, stats };
        const expected = layerNormBackwardCpu({ ...gradient, residual: own });
        checkClose(pick(await room.read(dx), c), expected, most);
      },
    },
    {
      name: "GELU, dropout",
      record: (plan) =>
        activate(plan, {
          x: wide.tensor,
          y: wideOut,
          activation: "gelu",
          dropout: { rate: 0.1, site },
        }),
      async check() {
        const dropout = { rate: 0.1, ...SITE };
        const expected = activateCpu(takeRows(wide.host, h, [0]), { activation: "gelu", dropout });
        checkClose((await room.read(wideOut)).subarray(0, h), expected, most);
      },
    },
    {
      name: "swiglu (ViT-S+)",
      record: (plan) => swiglu(plan, { gate: wide.tensor, value: wide2.tensor, y: wideOut }),
      async check() {
        const expected = swigluCpu(pick(wide.host, h), pick(wide2.host, h));
        checkClose(pick(await room.read(wideOut), h), expected, most);
      },
    },
    {
      name: "swiglu backward (ViT-S+)",
      record: (plan) =>
        swigluBackward(plan, {
          dy: wide2.tensor,
          gate: wide.tensor,
          value: wide2.tensor,
          dgate: wideOut,
          dvalue: wideOut2,
        }),
      async check() {
        const [gate, value] = [pick(wide.host, h), pick(wide2.host, h)];
        const { dgate } = swigluBackwardCpu(value, gate, value);
        checkClose(pick(await room.read(wideOut), h), dgate, most);
      },
    },
    {
      name: "pool",
      record: (plan) => pool(plan, { x: x.tensor, y: pooled, mode: "avg", prefix }),
      async check() {
        const expected = poolCpu(lastImage(x.host), image);
        checkClose(lastImage(await room.read(pooled)), expected, most);
      },
    },
    {
      name: "pool backward",
      record: (plan) => poolBackward(plan, { dy: dPooled.tensor, dx, mode: "avg", prefix }),
      async check() {
        const expected = poolBackwardCpu(lastImage(dPooled.host), image);
        checkClose(lastImage(await room.read(dx)), expected, most);
      },
    },
  ];
}
