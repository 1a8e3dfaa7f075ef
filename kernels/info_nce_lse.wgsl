// InfoNCE forward for one direction (logits Z as in info_nce_tile.wgsl), 8 rows a workgroup:
//
//   lse[i]        = log sum_j exp(Z[i, j])
//   pair_loss[i] += lse[i] - sum_j Y[i, j] Z[i, j],  Y = (1 - smoothing[i]) I + smoothing[i] / N
//
//   smoothing  (N)  f32  0 to 1
//   lse        (N)  f32  nats
//   pair_loss  (N)  f32  nats; ADD false: written, true: added to
//
// Each lane folds its columns into a running (max, sum), so Z is never stored and large logits do
// not overflow. Running (max, sum): Milakov & Gimelshein 2018, arXiv:1805.02867.

override ADD: bool = false;

const LOWEST = -3.4028234e38; // identity of max: WGSL has no infinity literal

@group(0) @binding(3) var<storage, read> smoothing: array<f32>;
@group(0) @binding(4) var<storage, read_write> lse: array<f32>;
@group(0) @binding(5) var<storage, read_write> pair_loss: array<f32>;

// Of four rows: largest logit, sum of exp(logit - top), sum of Y * logit.
struct Running { top: vec4f, sum: vec4f, wanted: vec4f }

// Entry 2 * lane + half: rows 4 * half .. 4 * half + 3 of the workgroup's eight.
var<workgroup> running: array<Running, 2u * LANES>;

fn fold(before: Running, logit: vec4f, rows: vec4u, column: u32) -> Running {
  if (column >= N) { return before; }
  let e = exp(-abs(logit - before.top)); // the other exponential is 1
  let spread = vec4f(smoothing[rows.x], smoothing[rows.y], smoothing[rows.z], smoothing[rows.w]);
  let target_share = spread / f32(N) + select(vec4f(), 1.0 - spread, rows == vec4u(column));
  return Running(
    max(before.top, logit),
    select(before.sum + e, before.sum * e + 1.0, logit > before.top),
    before.wanted + target_share * logit,
  );
}

fn fold4(before: Running, logits: mat4x4f, rows: vec4u, column: u32) -> Running {
  var after = fold(before, logits[0], rows, column);
  after = fold(after, logits[1], rows, column + 1);
  after = fold(after, logits[2], rows, column + 2);
  return fold(after, logits[3], rows, column + 3);
}

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group.x * ROWS;
  var low = Running(vec4f(LOWEST), vec4f(), vec4f());
  var high = low;
  for (var column = 4 * lane; column < N; column += TILE) {
    let z = logits(row, column);
    low = fold4(low, z.low, four(row), column);
    high = fold4(high, z.high, four(row + 4), column);
  }
  running[2 * lane] = low;
  running[2 * lane + 1] = high;
  workgroupBarrier();

  let i = row + lane;
  if (lane < ROWS && i < N) {
    let half = lane / 4;
    let r = lane % 4;
    var top = LOWEST;
    for (var l = half; l < 2 * LANES; l += 2u) { top = max(top, running[l].top[r]); }
    var sum = 0.0;
    var wanted = 0.0;
    for (var l = half; l < 2 * LANES; l += 2u) {
      sum += running[l].sum[r] * exp(running[l].top[r] - top);
      wanted += running[l].wanted[r];
    }
    lse[i] = top + log(sum);
    let loss = lse[i] - wanted;
    pair_loss[i] = select(loss, pair_loss[i] + loss, ADD);
  }
}
