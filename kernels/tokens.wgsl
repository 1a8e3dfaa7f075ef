// Token rows of each image, one invocation per vec4:
//
//   x[b] = [prefix, patches[b]]
//
//   patches  (batch * PATCHES, COLUMNS)
//   prefix   (PREFIX, COLUMNS)                   f32  class and register tokens
//   x        (batch, PREFIX + PATCHES, COLUMNS)  COUNT vec4s of the residual stream
//
// COLUMNS is a multiple of 4.

alias Stream = f32;
alias Activation = f32;

override COUNT: u32 = 64; // vec4s
override PATCHES: u32 = 4;
override PREFIX: u32 = 5;
override COLUMNS: u32 = 384;

@group(0) @binding(0) var<storage, read> patches: array<vec4<Activation>>;
@group(0) @binding(1) var<storage, read> prefix: array<vec4f>;
@group(0) @binding(2) var<storage, read_write> x: array<vec4<Stream>>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= COUNT) { return; }
  let width = COLUMNS / 4u;
  let token = i / width % (PREFIX + PATCHES);
  if (token < PREFIX) {
    x[i] = vec4<Stream>(prefix[token * width + i % width]);
  } else {
    let skipped = (i / (width * (PREFIX + PATCHES)) + 1u) * PREFIX; // prefix rows up to here
    x[i] = vec4<Stream>(patches[i - skipped * width]);
  }
}
