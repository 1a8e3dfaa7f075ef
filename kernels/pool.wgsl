// Pooling of token rows into one vector an image:
//
//   y[b] = sum_n x[b, n] / (LAST - FIRST)      FIRST <= n < LAST
//
//   x  (BATCH, TOKENS, COLUMNS)
//   y  (BATCH, COLUMNS)          f32
//
// One invocation per vec4 of y walks the tokens. COLUMNS is a multiple of 4.

alias Activation = f32;

override BATCH: u32 = 1;
override TOKENS: u32 = 6;
override COLUMNS: u32 = 384;
override FIRST: u32 = 5;
override LAST: u32 = 6;

@group(0) @binding(0) var<storage, read> x: array<vec4<Activation>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let width = COLUMNS / 4u;
  let i = (group.y * groups.x + group.x) * 64u + lane;
  if (i >= BATCH * width) { return; }
  let first = i / width * TOKENS * width + i % width;
  var sum = vec4f();
  for (var n = FIRST; n < LAST; n++) { sum += vec4f(x[first + n * width]); }
  y[i] = sum / f32(LAST - FIRST);
}
