// Attention backward, keys and values, for GPUs (formulas in attention_backward.wgsl).
//
//   delta  (batch, HEADS, TOKENS)  f32  of the pass over the queries
//
// Two lanes work on a key row j, so that each keeps two rows of 64 instead of four:
//
//   role 0 keeps k' and dv:  p[i] from k'·q'[i],    then dv += p[i] dOut[i]
//   role 1 keeps v and dk':  dS[i] from v·dOut[i],  then dk' += dS[i] q'[i]
//
// Both do the same to the two kinds of shared rows, in opposite order; p goes from role 0 to
// role 1 through workgroup memory. Grid (rows / 32, HEADS, batch).

const KIND_A = QUERY;
const KIND_B = GRADIENT;
const ROWS = 32u; // key rows of a workgroup

@group(0) @binding(6) var<storage, read> delta: array<f32>;

var<workgroup> weights: array<array<Values, ROWS>, 2>; // p of four queries, two places by turns

fn weight(s: f32, query: u32) -> f32 {
  return exp(SCALE * s - lse[place_row(min(query, TOKENS - 1u))]);
}
fn slope(p: f32, dp: f32, query: u32) -> f32 {
  return p * (dp - delta[place_row(min(query, TOKENS - 1u))]);
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
  head = group.y;
  batch = group.z;
  lane = index;
  let row = lane % ROWS;
  own = group.x * ROWS + row;
  let gradient_first = lane >= ROWS; // role 1
  let kind_first = select(QUERY, GRADIENT, gradient_first);
  let kind_second = select(GRADIENT, QUERY, gradient_first);

  var x = own_rows(select(KEY, VALUE, gradient_first));
  var dx: Rows;
  for (var query = 0u; query < TOKENS; query += 4u) {
    stage(query);
    let dots = dot4(&x, share4(kind_first, query));
    let place = query / 4u % 2u; // the other place may still be read
    if (!gradient_first) {
      weights[place][row] = within(
        Values(
          weight(dots[0], query),
          weight(dots[1], query + 1u),
          weight(dots[2], query + 2u),
          weight(dots[3], query + 3u),
        ),
        query,
      );
    }
    workgroupBarrier();
    var w = weights[place][row];
    if (gradient_first) {
      w = Values(
        slope(w[0], dots[0], query),
        slope(w[1], dots[1], query + 1u),
        slope(w[2], dots[2], query + 2u),
        slope(w[3], dots[3], query + 3u),
      );
    }
    accumulate(&dx, 1.0, w, share4(kind_second, query));
  }
  store_rows(select(VALUE, KEY, gradient_first), &dx, select(1.0, SCALE, gradient_first));
}
