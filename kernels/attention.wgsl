// Attention forward: for each row i of each head
//
//   s[j] = q'[i]·k'[j] / 8      q', k' turned by RoPE
//   out[i] = sum_j softmax(s)[j] v[j],   lse[i] = log sum_j exp(s[j])
//
//   out  (batch, TOKENS, HEADS, 64)  Activation
//   lse  (batch, HEADS, TOKENS)      f32   kept for the backward
//
// A lane owns query rows; grid (rows / SPAN, HEADS, batch). Keys pass PASS at a time; the running
// (maximum, sum, weighted values) is rescaled whenever the maximum is raised, so that no score is
// stored. Dao 2023 (FlashAttention-2), arXiv:2307.08691, algorithm 1.

const KIND_A = KEY;
const KIND_B = VALUE;
const LOWEST = -1e30; // below every score, and its difference to one is still finite

@group(0) @binding(3) var<storage, read_write> out: array<vec4<Activation>>;
@group(0) @binding(4) var<storage, read_write> lse: array<f32>;

fn row_pair(kind: u32, token: u32, c: u32) -> Pair {
  return qkv_pair(kind, token, c);
}
fn store_pair(kind: u32, token: u32, c: u32, x: Pair) {
  let i = place_out(token) + c;
  out[i] = vec4<Activation>(x.lo);
  out[i + 8u] = vec4<Activation>(x.hi);
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
  head = group.y;
  batch = group.z;
  lane = index;
  own = group.x * SPAN + own_place();

  var q = own_rows(QUERY);
  var o: Rows;
  var highest = Value(LOWEST);
  var sum = Value(0.0);
  for (var key = 0u; key < TOKENS; key += PASS) {
    stage(key);
    let scores = within(times(dot_rows(&q, share_rows(KEY, key)), SCALE), key, LOWEST);
    let higher = raised(highest, scores);
    let keep = exp(highest - higher);
    let p = exp_of(minus(scores, higher));
    sum = keep * sum + sum_of(p);
    accumulate(&o, keep, p, share_rows(VALUE, key));
    highest = higher;
  }

  store_rows(VALUE, &o, Value(1.0) / sum);
  let row_lse = highest + log(sum);
  for (var r = 0u; r < OWNED; r++) {
    if (own + r * LANES < TOKENS) {
      lse[place_row(own + r * LANES)] = value_at(row_lse, r);
    }
  }
}
