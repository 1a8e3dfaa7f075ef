// L2 normalisation of rows, shared by lanes as row_sum.wgsl says:
//
//   norm = sqrt(sum_c x[c]^2)
//   y[c] = x[c] / max(norm, EPS)
//
//   x, y   (ROWS, COLUMNS)  f32
//   norms  (ROWS)           f32
//
// COLUMNS is a multiple of 4.

override ROWS: u32 = 1;
override COLUMNS: u32 = 256;
override EPS: f32 = 1e-12;

@group(0) @binding(0) var<storage, read> x: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> norms: array<f32>;

@compute @workgroup_size(GROUP_LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = ((group.y * groups.x + group.x) * GROUP_LANES + lane) / ROW_LANES;
  let start = row * (COLUMNS / 4u);
  let end = select(0u, start + COLUMNS / 4u, row < ROWS); // no work for missing rows

  var squares = 0.0;
  for (var i = start + lane % ROW_LANES; i < end; i += ROW_LANES) { squares += dot(x[i], x[i]); }
  let norm = sqrt(row_sum(vec2f(squares, 0.0), lane).x);

  for (var i = start + lane % ROW_LANES; i < end; i += ROW_LANES) { y[i] = x[i] / max(norm, EPS); }
  if (row < ROWS && lane % ROW_LANES == 0u) { norms[row] = norm; }
}
