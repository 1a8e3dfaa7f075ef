// What happens to the finished sums of a GEMM, whatever computed them:
//
//   t = scale · sum + bias
//   t = act(t)           (saved before act in `pre`)  GELU or ReLU
//   t = t ∘ act'(extra)                               extra: pre-activations of the forward
//   c = extra + gamma ∘ t  |  c + t  |  t             residual | accumulate | store
//
//   bias, gamma    (N) f32
//   extra, c, pre  (M, N)  extra_at(i), vec4 number i, is declared by operands.ts

alias TypeExtra = f32;
alias TypeC = f32;

override M: u32 = 64;
override N: u32 = 64;
override SCALE: f32 = 1;
override BIAS: bool = false;
override ACT: u32 = 0; // 0 none, 1 GELU, 2 ReLU
override SAVE_PRE: bool = false;
override ACT_GRAD: u32 = 0; // as ACT
override RESIDUAL: bool = false;
override ACCUMULATE: bool = false;
override SPLITS: u32 = 1; // parts of K, each stored as it is; gemm_join.wgsl adds them

@group(0) @binding(0) var<storage, read> bias: array<vec4f>;
@group(0) @binding(1) var<storage, read> gamma: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> c: array<vec4<TypeC>>;
@group(0) @binding(4) var<storage, read_write> pre: array<vec4<TypeC>>;

// Which part of K this workgroup sums.
var<private> part: u32;

// What is done to four columns.
struct Affine { bias: vec4f, gamma: vec4f }

fn affine_of(column: u32) -> Affine {
  let i = min(column, N - 4) / 4;
  var result = Affine();
  if (BIAS) { result.bias = bias[i]; }
  if (RESIDUAL) { result.gamma = gamma[i]; }
  return result;
}

// Stores the finished sum of (row, column .. column + 3).
fn finish(sum: vec4f, row: u32, column: u32) {
  finish_by(affine_of(column), sum, row, column);
}
fn finish_by(affine: Affine, sum: vec4f, row: u32, column: u32) {
  if (row >= M || column >= N) { return; }
  let i = (row * N + column) / 4;
  if (SPLITS > 1) {
    c[part * (M * N / 4) + i] = vec4<TypeC>(sum);
    return;
  }
  var t = SCALE * sum;
  if (BIAS) { t += affine.bias; }
  if (SAVE_PRE) { pre[i] = vec4<TypeC>(t); }
  if (ACT == 1) { t = gelu(t); }
  if (ACT == 2) { t = relu(t); }
  if (ACT_GRAD == 1) { t *= gelu_grad(extra_at(i)); }
  if (ACT_GRAD == 2) { t = select(vec4f(), t, extra_at(i) > vec4f()); }
  if (RESIDUAL) { t = extra_at(i) + affine.gamma * t; }
  if (ACCUMULATE) { t += vec4f(c[i]); }
  c[i] = vec4<TypeC>(t);
}
