// Ends of InfoNCE that are one number each, in one workgroup:
//
//   loss          = sum_i pair_loss[i] / 2N
//   d_logit_scale = sum_ij dZ[i, j] Z[i, j] = sum_i query[i] . d_query[i]
//
//   pair_loss       (N)     f32  nats, both directions added
//   query, d_query  (N, D)  f32
//   loss            (1)     f32  nats
//   d_logit_scale   (1)     f32  carries the loss scale of d_query

override N: u32 = 128;
override D: u32 = 256;

const LANES = 256u;

@group(0) @binding(0) var<storage, read> pair_loss: array<f32>;
@group(0) @binding(1) var<storage, read> query: array<vec4f>;
@group(0) @binding(2) var<storage, read> d_query: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> loss: array<f32>;
@group(0) @binding(4) var<storage, read_write> d_logit_scale: array<f32>;

var<workgroup> sums: array<vec2f, LANES>;

@compute @workgroup_size(LANES)
fn main(@builtin(local_invocation_index) lane: u32) {
  var sum = vec2f();
  for (var i = lane; i < N; i += LANES) { sum.x += pair_loss[i]; }
  for (var i = lane; i < N * (D / 4); i += LANES) { sum.y += dot(query[i], d_query[i]); }
  sums[lane] = sum;
  for (var half = LANES / 2; half > 0; half /= 2u) {
    workgroupBarrier(); // lanes above half have written
    if (lane < half) { sums[lane] += sums[lane + half]; }
  }
  if (lane == 0) {
    loss[0] = sums[0].x / (2.0 * f32(N));
    d_logit_scale[0] = sums[0].y;
  }
}
