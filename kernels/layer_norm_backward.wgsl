// LayerNorm backward to its input, rows shared by lanes as row_sum.wgsl says:
//
//   t[c]      = dy[c] * weight[c]
//   n[c]      = (x[c] - mean) * rstd
//   dx[c]     = residual[c] + rstd * (t[c] - mean_k t[k] - n[c] * mean_k t[k] n[k])
//   scaled[c] = scale[c] * dx[c]
//
//   dy, x, residual, dx, scaled  (ROWS, COLUMNS)  residual read when RESIDUAL, scaled
//                                                 written when SCALED
//   weight, scale                (COLUMNS)  f32
//   stats                        (ROWS, 2)  f32  mean, rstd of the forward
//
// x, residual and dx belong to the residual stream, which may be wider than dy and scaled.
// residual is the gradient that passes beside the block, scale the layer scale of
// the block below: scaled is where that block's backward starts.
// COLUMNS is a multiple of 4. NAME_at(i) of dy, x, weight and residual are declared by operands.ts.

alias Stream = f32;
alias Activation = f32;

override ROWS: u32 = 1;
override COLUMNS: u32 = 384;
override RESIDUAL: bool = false;
override SCALED: bool = false;

@group(0) @binding(3) var<storage, read> stats: array<vec2f>;
@group(0) @binding(5) var<storage, read> scale: array<vec4f>;
@group(0) @binding(6) var<storage, read_write> dx: array<vec4<Stream>>;
@group(0) @binding(7) var<storage, read_write> scaled: array<vec4<Activation>>;

@compute @workgroup_size(GROUP_LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = ((group.y * groups.x + group.x) * GROUP_LANES + lane) / ROW_LANES;
  let start = row * (COLUMNS / 4u);
  let end = select(0u, start + COLUMNS / 4u, row < ROWS); // no work for missing rows
  let mean = stats[min(row, ROWS - 1u)].x;
  let rstd = stats[min(row, ROWS - 1u)].y;

  var sums = vec2f();
  for (var i = start + lane % ROW_LANES; i < end; i += ROW_LANES) {
    let t = dy_at(i) * weight_at(i - start);
    let n = (x_at(i) - mean) * rstd;
    sums += vec2f(dot(t, vec4f(1.0)), dot(t, n));
  }
  let means = row_sum(sums, lane) / f32(COLUMNS);

  for (var i = start + lane % ROW_LANES; i < end; i += ROW_LANES) {
    let t = dy_at(i) * weight_at(i - start);
    let n = (x_at(i) - mean) * rstd;
    var gradient = rstd * (t - means.x - n * means.y);
    if (RESIDUAL) { gradient += residual_at(i); }
    dx[i] = vec4<Stream>(gradient);
    if (SCALED) { scaled[i] = vec4<Activation>(scale[i - start] * gradient); }
  }
}
