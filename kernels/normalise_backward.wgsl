// Backward of L2 normalisation, rows shared by lanes as row_sum.wgsl says:
//
//   dx[c] = (dy[c] - y[c] * sum_k y[k] dy[k]) / norm      norm > EPS
//   dx[c] = dy[c] / EPS                                   else: the divisor is constant
//
//   dy, y, dx  (ROWS, COLUMNS)  f32
//   norms      (ROWS)           f32  of the forward
//
// COLUMNS is a multiple of 4.

override ROWS: u32 = 1;
override COLUMNS: u32 = 256;
override EPS: f32 = 1e-12;

@group(0) @binding(0) var<storage, read> dy: array<vec4f>;
@group(0) @binding(1) var<storage, read> y: array<vec4f>;
@group(0) @binding(2) var<storage, read> norms: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<vec4f>;

@compute @workgroup_size(GROUP_LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = ((group.y * groups.x + group.x) * GROUP_LANES + lane) / ROW_LANES;
  let start = row * (COLUMNS / 4u);
  let end = select(0u, start + COLUMNS / 4u, row < ROWS); // no work for missing rows
  let norm = norms[min(row, ROWS - 1u)];

  var sum = 0.0;
  for (var i = start + lane % ROW_LANES; i < end; i += ROW_LANES) { sum += dot(y[i], dy[i]); }
  let along = select(0.0, row_sum(vec2f(sum, 0.0), lane).x, norm > EPS);

  for (var i = start + lane % ROW_LANES; i < end; i += ROW_LANES) {
    dx[i] = (dy[i] - y[i] * along) / max(norm, EPS);
  }
}
