// Activation and dropout of a matrix, rebuilt in the backward rather than stored:
//
//   y = keep ∘ act(x)      keep: 0 with probability RATE, else 1 / (1 - RATE)
//
//   x, y  (4 * COUNT) elements  x_at(i), vec4 number i, is declared by operands.ts
//
// One invocation per vec4. Elements are counted row-major, for the dropout too.

alias Activation = f32;

override COUNT: u32 = 64; // vec4s
override ACT: u32 = 0; // 0 identity, 1 GELU, 2 ReLU
override RATE: f32 = 0;

// When and where something is dropped: the keys of the mask, and the first element's number.
struct Site { seed: u32, step: u32, stream: u32, first: u32 }

@group(0) @binding(1) var<uniform> site: Site;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<Activation>>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= COUNT) { return; }
  var value = x_at(i);
  if (ACT == 1u) { value = gelu(value); }
  if (ACT == 2u) { value = relu(value); }
  if (RATE > 0.0) {
    let key = dropout_key(site.seed, site.step, site.stream);
    let e = site.first + 4u * i;
    value *= vec4f(
      keep(key, e, RATE),
      keep(key, e + 1u, RATE),
      keep(key, e + 2u, RATE),
      keep(key, e + 3u, RATE),
    );
  }
  y[i] = vec4<Activation>(value);
}
