// AdamW over the flat buffer of all trainables, or a part of it, then gradients to zero for the next
// step:
//
//   g = clamp(coef * gradient, -CLIP_VALUE, CLIP_VALUE)
//   parameter -= lr * WEIGHT_DECAY * parameter
//   m += (1 - beta1) (g - m),  v = beta2 v + (1 - beta2) g^2
//   parameter -= lr / c1 * m / (sqrt(v / c2) + EPS),  c = 1 - beta^t
//
//   parameters, m, v  (SIZE)  f32
//   gradients         (SIZE)  f32  multiplied by the loss scale; zero afterwards
//   step.lr                   f32  learning rate of this step
//   scaler.coef               f32  unscales and clips by norm
//   scaler.steps              f32  t: steps taken, this one included
//   scaler.found_inf          f32  1: gradients go to zero, nothing else changes
//
// operands.ts declares old_NAME_at(i) of the four: vec4 number i as it was before.
// Padding elements are zero and stay zero. Loshchilov & Hutter 2019, algorithm 2, arXiv:1711.05101;
// order of operations of torch.optim.AdamW.

override SIZE: u32 = 1024;
override LOG_BETA1: f32 = -0.10536052; // logarithms and complements come from the host, in f64:
override LOG_BETA2: f32 = -0.0010005003; // 1 - 0.999 in f32 is wrong in the fifth digit
override ONE_MINUS_BETA1: f32 = 0.1;
override ONE_MINUS_BETA2: f32 = 0.001;
override EPS: f32 = 1e-8;
override WEIGHT_DECAY: f32 = 0.01;
override CLIP_VALUE: f32 = 0; // 0: off

const LANES = 64u;

struct Step { seed: u32, step: u32, lr: f32 }

struct Scaler {
  scale: f32,
  tracker: f32,
  found_inf: f32,
  skipped: f32,
  steps: f32,
  grad_norm: f32,
  grad_max: f32,
  coef: f32,
}

@group(0) @binding(0) var<uniform> step: Step;
@group(0) @binding(1) var<uniform> scaler: Scaler;
@group(0) @binding(2) var<storage, read_write> parameters: array<vec4f>;
@group(0) @binding(3) var<storage, read_write> gradients: array<vec4f>;
@group(0) @binding(4) var<storage, read_write> m: array<vec4f>;
@group(0) @binding(5) var<storage, read_write> v: array<vec4f>;

// 1 - exp(x) for x < 0 without cancellation: near 0 by its series, of which 2^-26 is left out.
fn one_minus_exp(x: f32) -> f32 {
  if (x < -0.5) { return 1.0 - exp(x); }
  return -x * (1 + x / 2 * (1 + x / 3 * (1 + x / 4 * (1 + x / 5 * (1 + x / 6 * (1 + x / 7 *
    (1 + x / 8)))))));
}

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * LANES + lane;
  if (i >= (SIZE + 3) / 4) { return; }
  if (scaler.found_inf == 0) {
    var g = old_gradients_at(i) * scaler.coef;
    if (CLIP_VALUE > 0) { g = clamp(g, vec4f(-CLIP_VALUE), vec4f(CLIP_VALUE)); }
    let c1 = one_minus_exp(scaler.steps * LOG_BETA1);
    let c2 = one_minus_exp(scaler.steps * LOG_BETA2);
    let old_first = old_m_at(i);
    let old_second = old_v_at(i);
    let old = old_parameters_at(i);
    let first = old_first + ONE_MINUS_BETA1 * (g - old_first);
    let second = old_second + ONE_MINUS_BETA2 * (g * g - old_second);
    let kept = old - step.lr * WEIGHT_DECAY * old;
    parameters[i] = kept - step.lr / c1 * first / (sqrt(second / c2) + EPS);
    m[i] = first;
    v[i] = second;
  }
  gradients[i] = vec4f();
}
