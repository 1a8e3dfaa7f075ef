// LayerNorm forward, rows shared by lanes as row_sum.wgsl says:
//
//   mean = sum_c x[c] / COLUMNS
//   rstd = 1 / sqrt(sum_c (x[c] - mean)^2 / COLUMNS + EPS)
//   y[c] = (x[c] - mean) * rstd * weight[c] + bias[c]
//
//   x, y          (ROWS, COLUMNS)  x of the residual stream, which may be wider than y
//   weight, bias  (COLUMNS)        f32
//   stats         (ROWS, 2)        f32  mean, rstd; written when STATS
//
// The variance is taken around the mean in a second pass: the one-pass formula
// cancels when |mean| is large beside the deviation. COLUMNS is a multiple of 4.
// NAME_at(i) of x, weight and bias are declared by operands.ts.
// Ba et al. 2016, section 3, arXiv:1607.06450.

alias Stream = f32;
alias Activation = f32;

override ROWS: u32 = 1;
override COLUMNS: u32 = 384;
override EPS: f32 = 1e-5;
override STATS: bool = true;

@group(0) @binding(3) var<storage, read_write> y: array<vec4<Activation>>;
@group(0) @binding(4) var<storage, read_write> stats: array<vec2f>;

@compute @workgroup_size(GROUP_LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = ((group.y * groups.x + group.x) * GROUP_LANES + lane) / ROW_LANES;
  let start = row * (COLUMNS / 4u);
  let end = select(0u, start + COLUMNS / 4u, row < ROWS); // no work for missing rows

  var sum = vec4f();
  for (var i = start + lane % ROW_LANES; i < end; i += ROW_LANES) { sum += x_at(i); }
  let mean = row_sum(vec2f(dot(sum, vec4f(1.0)), 0.0), lane).x / f32(COLUMNS);

  var squares = vec4f();
  for (var i = start + lane % ROW_LANES; i < end; i += ROW_LANES) {
    let centred = x_at(i) - mean;
    squares += centred * centred;
  }
  let variance = row_sum(vec2f(dot(squares, vec4f(1.0)), 0.0), lane).x / f32(COLUMNS);
  let rstd = 1.0 / sqrt(variance + EPS);

  for (var i = start + lane % ROW_LANES; i < end; i += ROW_LANES) {
    let normal = (x_at(i) - mean) * rstd;
    y[i] = vec4<Activation>(normal * weight_at(i - start) + bias_at(i - start));
  }
  if (STATS && row < ROWS && lane % ROW_LANES == 0u) { stats[row] = vec2f(mean, rstd); }
}
