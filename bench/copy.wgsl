// Copies SIZE vec4s of x, one an invocation: the most a kernel moves. x_at(i) is declared by
// operands.ts.

override SIZE: u32 = 64;

@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;

@compute @workgroup_size(256)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 256 + lane;
  if (i < SIZE) { y[i] = x_at(i); }
}
