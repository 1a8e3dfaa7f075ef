// Counts the references of one chunk that do not score below a pair's score, one invocation a pair.
//
//   scores       (chunk, QUERIES)  f32  row r is the chunk's r-th reference
//   chunk.count                    u32  how many references it has
//   pairs        (pairs) vec2      u32  query, reference; padding may add a pair of zeros
//   pair_scores  (pairs)           f32  from truth_scores.wgsl
//   counts       (pairs)           u32  added to; in the end a pair's own reference is in it

override QUERIES: u32 = 64;

const LANES = 64u;

struct Chunk { first: u32, count: u32 }

@group(0) @binding(0) var<storage, read> scores: array<f32>;
@group(0) @binding(1) var<uniform> chunk: Chunk;
@group(0) @binding(2) var<storage, read> pairs: array<vec2u>;
@group(0) @binding(3) var<storage, read> pair_scores: array<f32>;
@group(0) @binding(4) var<storage, read_write> counts: array<u32>;

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let p = (group.y * groups.x + group.x) * LANES + lane;
  if (p >= arrayLength(&pairs)) { return; }
  let own = pair_scores[p];
  var count = 0u;
  for (var i = pairs[p].x; i < chunk.count * QUERIES; i += QUERIES) {
    count += select(1u, 0u, scores[i] < own);
  }
  counts[p] += count;
}
