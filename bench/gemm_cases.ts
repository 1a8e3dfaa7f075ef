/**
 * The matrix products of a training step at the shapes of a model and an image size.
 *
 * @module
 */
import { gemm, type GemmInput, workspaceSize } from "../kernels/gemm.ts";
import { type CpuGemm, gemmCpu } from "../kernels/gemm_cpu.ts";
import type { Gpu } from "../kernels/gpu.ts";
import { prefixTokens, type ViTConfig } from "../model/config.ts";
import type { Precision } from "../model/network.ts";
import { checkClose, type KernelCase } from "./measure.ts";
import { mostError, type Room, rowsToCheck, SITE, takeColumns, takeRows } from "./room.ts";

/** Sizes that shapes follow from. */
export interface CaseOptions {
  config: ViTConfig;
  precision: Precision;
  /** Side of an image in pixels. */
  size: number;
  images: number;
  rank: number;
}

/** A GEMM of the model, by what sets it apart. */
export interface GemmShape {
  form: GemmInput["form"];
  m: number;
  n: number;
  k: number;
  k2?: number;
  rate?: number;
  /** f32 operands whatever the precision: adapters, and weights that they are merged into. */
  f32?: readonly ("a" | "b")[];
  /** As `GemmInput`. */
  roundsB?: boolean;
  bias?: boolean;
  gelu?: boolean;
  geluGrad?: boolean;
  /** What the result is added to: the stream, which is f32, or a weight. */
  residual?: "stream" | "weight";
  accumulate?: boolean;
}

/** One product, ready to be timed. */
export function gemmCase(
  gpu: Gpu,
  room: Room,
  name: string,
  { shape, precision }: { shape: GemmShape; precision: Precision },
): KernelCase {
  const { form, m, n, k, k2 = 0, rate = 0, f32 = [] } = shape;
  const transposed = form === "tn";
  // The stream, merged weights and gradients are f32.
  const f16Result = !shape.residual && !shape.accumulate;
  const typeOf = (operand: "a" | "b") => f32.includes(operand) ? "f32" : precision;
  const a = room.values(transposed ? [k, m] : [m, k], typeOf("a"));
  const b = room.values(form === "nt" ? [n, k] : [k, n], typeOf("b"));
  const second = k2 > 0 && {
    a: room.values([m, k2], precision),
    b: room.values(form === "nt" ? [n, k2] : [k2, n]),
  };
  const bias = shape.bias && room.values([n]);
  const gamma = room.values([n]);
  const extra = (shape.residual || shape.geluGrad) &&
    room.values([m, n], shape.residual === "stream" ? "f32" : precision);
  const c = room.zeros([m, n], f16Result ? precision : "f32");
  const pre = shape.gelu ? room.zeros([m, n], precision) : null;
  const site = room.upload(Uint32Array.from(Object.values(SITE)), [4], "u32");
  const parts = transposed ? workspaceSize(gpu) : 0;
  const workspace = parts > 0 ? room.zeros([parts]) : null;
  return {
    name,
    isHalf: typeOf("a") === "f16" && (shape.roundsB || typeOf("b") === "f16"),
    record(plan) {
      gemm(plan, {
        form,
        a: a.tensor,
        b: b.tensor,
        c,
        pre,
        workspace,
        label: name,
        roundsB: shape.roundsB ?? false,
        accumulate: shape.accumulate ?? false,
        bias: bias ? bias.tensor : null,
        ...(second && {
          second: {
            a: second.a.tensor,
            b: second.b.tensor,
            scale: 2,
            dropout: rate > 0 ? { rate, site } : null,
          },
        }),
        ...(shape.gelu && { act: "gelu" }),
        ...(shape.residual && extra && { residual: { x: extra.tensor, gamma: gamma.tensor } }),
        ...(shape.geluGrad && extra && { actGrad: { act: "gelu", pre: extra.tensor } }),
      });
    },
    async check() {
      const rows = rowsToCheck(m);
      const part = await room.read(c);
      const wanted = rows.map((row) => {
        const own = (values: Float32Array, columns: number) => takeRows(values, columns, [row]);
        const test: CpuGemm = {
          form,
          m: 1,
          n,
          first: { a: transposed ? takeColumns(a.host, m, [row]) : own(a.host, k), b: b.host, k },
        };
        if (second) {
          test.second = { a: own(second.a.host, k2), b: second.b.host, k: k2, scale: 2 };
          if (rate > 0) test.second.dropout = { rate, ...SITE, first: row * n };
        }
        if (bias) test.bias = bias.host;
        if (shape.gelu) test.act = "gelu";
        if (shape.residual && extra) {
          test.residual = { x: own(extra.host, n), gamma: gamma.host };
        }
        if (shape.geluGrad && extra) test.actGrad = { act: "gelu", pre: own(extra.host, n) };
        return [...gemmCpu(test).c];
      });
      checkClose(takeRows(part, n, rows), wanted.flat(), mostError(precision));
    },
  };
}

/** All matrix products of a block, plain and with LoRA. */
export function gemmCases(gpu: Gpu, room: Room, options: CaseOptions): KernelCase[] {
  const { config, precision, size, images, rank } = options;
  const { embedDim: c, mlpHidden: h, patch } = config;
  const patches = images * (size / patch) ** 2;
  const m = patches + images * prefixTokens(config);
  const down = { f32: ["b"], roundsB: true } as const; // to the rank of an adapter
  const merged = { f32: ["b"] } as const;
  const shapes: Record<string, GemmShape> = {
    "patch_embed": { form: "nt", m: patches, n: c, k: 3 * patch ** 2, bias: true },
    "qkv": { form: "nt", m, n: 3 * c, k: c },
    "proj + residual": { form: "nt", m, n: c, k: c, bias: true, residual: "stream" },
    "fc1 + GELU": { form: "nt", m, n: h, k: c, bias: true, gelu: true },
    "fc2 + residual": { form: "nt", m, n: c, k: h, bias: true, residual: "stream" },
    "qkv + LoRA": { form: "nt", m, n: 3 * c, k: c, k2: rank },
    "lora_A": { form: "nt", m, n: rank, k: c, ...down },
    "d qkv": { form: "nn", m, n: c, k: 3 * c },
    "d fc2 · GELU'": { form: "nn", m, n: h, k: c, geluGrad: true },
    "d fc1 + LoRA, dropout": { form: "nn", m, n: c, k: h, k2: rank, rate: 0.1 },
    "d h of qkv": { form: "nn", m, n: rank, k: 3 * c, ...down },
    "d lora_A of fc1": { form: "tn", m: rank, n: c, k: m, accumulate: true },
    "d lora_B of fc1": { form: "tn", m: h, n: rank, k: m, accumulate: true },
    "merge of fc1": { form: "nn", m: h, n: c, k: rank, f32: ["a", "b"], residual: "weight" },
    // In f32 these are the products above.
    ...(precision === "f16" && {
      "qkv, merged": { form: "nt", m, n: 3 * c, k: c, ...merged },
      "d qkv, merged": { form: "nn", m, n: c, k: 3 * c, ...merged },
    }),
  };
  return Object.entries(shapes).map(([name, shape]) =>
    gemmCase(gpu, room, `gemm ${name}`, { shape, precision })
  );
}
