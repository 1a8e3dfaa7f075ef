// SwiGLU forward, one invocation per vec4:
//
//   y = silu(gate) ∘ value      silu(u) = u * sigmoid(u)
//
//   gate, value, y  (4 * COUNT) elements  NAME_at(i), vec4 number i, of what is read is
//                                         declared by operands.ts
//
// Shazeer 2020, section 2, arXiv:2002.05202.

alias Activation = f32;

override COUNT: u32 = 64; // vec4s

@group(0) @binding(2) var<storage, read_write> y: array<vec4<Activation>>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= COUNT) { return; }
  let u = gate_at(i);
  y[i] = vec4<Activation>(u * sigmoid(u) * value_at(i));
}
