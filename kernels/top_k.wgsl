// Folds one chunk of scores into the K best references of each query, one invocation a query.
//
//   scores       (chunk, QUERIES)  f32  row r is the chunk's r-th reference
//   chunk.first, chunk.count       u32  index of its first reference, and how many it has
//   top_scores   (QUERIES, K)      f32  best first; LOWEST before the first chunk
//   top_indices  (QUERIES, K)      u32
//   bad          (QUERIES)         u32  1 + least index of a reference whose score is not finite;
//                                       0 if there is none, and before the first chunk
//
// Chunks come in ascending order, so of equal scores the lower index stays first.

override QUERIES: u32 = 64;
override K: u32 = 10;

const LANES = 64u;

struct Chunk { first: u32, count: u32 }

@group(0) @binding(0) var<storage, read> scores: array<f32>;
@group(0) @binding(1) var<uniform> chunk: Chunk;
@group(0) @binding(2) var<storage, read_write> top_scores: array<f32>;
@group(0) @binding(3) var<storage, read_write> top_indices: array<u32>;
@group(0) @binding(4) var<storage, read_write> bad: array<u32>;

// By its bits: compilers may assume that no value is NaN or infinite.
fn is_finite(x: f32) -> bool {
  return (bitcast<u32>(x) & 0x7f800000) != 0x7f800000;
}

@compute @workgroup_size(LANES)
fn main(@builtin(global_invocation_id) id: vec3u) {
  let query = id.x;
  if (query >= QUERIES) { return; }
  let best = query * K;
  let last = best + K - 1;
  var worst = top_scores[last];
  for (var r = 0u; r < chunk.count; r++) {
    // Most scores are passed over in this short loop.
    var score = scores[r * QUERIES + query];
    while (is_finite(score) && score <= worst && r + 1 < chunk.count) {
      r++;
      score = scores[r * QUERIES + query];
    }
    if (!is_finite(score)) {
      if (bad[query] == 0) { bad[query] = 1 + chunk.first + r; }
    } else if (score > worst) {
      var place = last;
      while (place > best && score > top_scores[place - 1]) {
        top_scores[place] = top_scores[place - 1];
        top_indices[place] = top_indices[place - 1];
        place--;
      }
      top_scores[place] = score;
      top_indices[place] = chunk.first + r;
      worst = top_scores[last];
    }
  }
}
