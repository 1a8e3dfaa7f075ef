// SwiGLU backward, one invocation per vec4; s = sigmoid(gate):
//
//   dgate  = dy ∘ value ∘ s ∘ (1 + gate ∘ (1 - s))
//   dvalue = dy ∘ gate ∘ s
//
//   dy, gate, value, dgate, dvalue  (4 * COUNT) elements  NAME_at(i), vec4 number i, of what
//                                                         is read is declared by operands.ts
//
// Shazeer 2020, section 2, arXiv:2002.05202.

alias Activation = f32;

override COUNT: u32 = 64; // vec4s

@group(0) @binding(3) var<storage, read_write> dgate: array<vec4<Activation>>;
@group(0) @binding(4) var<storage, read_write> dvalue: array<vec4<Activation>>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= COUNT) { return; }
  let u = gate_at(i);
  let s = sigmoid(u);
  let scaled = dy_at(i) * s;
  dgate[i] = vec4<Activation>(scaled * value_at(i) * (1.0 + u * sigmoid(-u)));
  dvalue[i] = vec4<Activation>(scaled * u);
}
