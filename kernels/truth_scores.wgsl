// Picks the scores of (query, reference) pairs out of one chunk of scores, one invocation a pair.
//
//   scores       (chunk, QUERIES)  f32  row r is the chunk's r-th reference
//   chunk.first, chunk.count       u32  index of its first reference, and how many it has
//   pairs        (pairs) vec2      u32  query, reference; padding may add a pair of zeros
//   pair_scores  (pairs)           f32  written if the reference is in the chunk
//
// Picked, not computed: another kernel would add up a dot product in another order, and a score has
// to equal itself when truth_counts.wgsl compares.

override QUERIES: u32 = 64;

const LANES = 64u;

struct Chunk { first: u32, count: u32 }

@group(0) @binding(0) var<storage, read> scores: array<f32>;
@group(0) @binding(1) var<uniform> chunk: Chunk;
@group(0) @binding(2) var<storage, read> pairs: array<vec2u>;
@group(0) @binding(3) var<storage, read_write> pair_scores: array<f32>;

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let p = (group.y * groups.x + group.x) * LANES + lane;
  if (p >= arrayLength(&pairs)) { return; }
  let r = pairs[p].y - chunk.first; // of a reference before the chunk it wraps to a large number
  if (r < chunk.count) { pair_scores[p] = scores[r * QUERIES + pairs[p].x]; }
}
