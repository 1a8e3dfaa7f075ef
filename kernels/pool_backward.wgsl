// Pooling backward, one invocation per vec4 of dx:
//
//   dx[b, n] = dy[b] / (LAST - FIRST)   FIRST <= n < LAST, else 0
//
//   dy  (BATCH, COLUMNS)          f32
//   dx  (BATCH, TOKENS, COLUMNS)
//
// COLUMNS is a multiple of 4.

alias Activation = f32;

override BATCH: u32 = 1;
override TOKENS: u32 = 6;
override COLUMNS: u32 = 384;
override FIRST: u32 = 5;
override LAST: u32 = 6;

@group(0) @binding(0) var<storage, read> dy: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> dx: array<vec4<Activation>>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let width = COLUMNS / 4u;
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= BATCH * TOKENS * width) { return; }
  let n = i / width % TOKENS;
  let share = dy[i / (TOKENS * width) * width + i % width] / f32(LAST - FIRST);
  dx[i] = vec4<Activation>(select(vec4f(), share, n >= FIRST && n < LAST));
}
