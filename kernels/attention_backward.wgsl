// What the two passes of the attention backward have in common: rows of dOut and dQkv.
//
//   dOut  (batch, TOKENS, HEADS, 64)     Activation
//   lse   (batch, HEADS, TOKENS)         f32         of the forward
//   dQkv  (batch, TOKENS, 3, HEADS, 64)  Activation  written
//   delta (batch, HEADS, TOKENS)         f32         declared by the kernel: written by the first
//                                                    pass, over the queries, read by the second
//
// For a query i and a key j of a head, q' and k' turned by RoPE:
//
//   p[i, j] = exp(q'[i]·k'[j] / 8 - lse[i])
//   dS[i, j] = p[i, j] (dOut[i]·v[j] - delta[i]),   delta[i] = dOut[i]·out[i]
//
//   dq'[i] = sum_j dS[i, j] k'[j] / 8     attention_backward_q.wgsl
//   dk'[j] = sum_i dS[i, j] q'[i] / 8     attention_backward_kv.wgsl, attention_backward_kv_tile.wgsl
//   dv[j] = sum_i p[i, j] dOut[i]
//
// and dq, dk are dq', dk' turned back. Neither p nor dS is stored: each pass computes them anew.
// Dao 2023 (FlashAttention-2), arXiv:2307.08691, algorithm 2, as two passes so that no two
// workgroups add to one row.

const GRADIENT = 3u; // kind of row: dOut

@group(0) @binding(4) var<storage, read> lse: array<f32>;
@group(0) @binding(5) var<storage, read_write> dQkv: array<vec4<Activation>>;

fn row_pair(kind: u32, token: u32, c: u32) -> Pair {
  if (kind == GRADIENT) {
    let i = place_out(token) + c;
    return Pair(dOut_at(i), dOut_at(i + 8u));
  }
  return qkv_pair(kind, token, c);
}
fn store_pair(part: u32, token: u32, c: u32, x: Pair) {
  var y = x;
  if (part != VALUE) {
    y = turn_back(x, angle(token, c));
  }
  let i = place_qkv(part, token) + c;
  dQkv[i] = vec4<Activation>(y.lo);
  dQkv[i + 8u] = vec4<Activation>(y.hi);
}

// Place of a query's lse and delta; the last one's for those past the end.
fn place_of(query: u32) -> u32 {
  return place_row(min(query, TOKENS - 1u));
}
