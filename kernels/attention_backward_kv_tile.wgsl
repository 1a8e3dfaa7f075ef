// Attention backward, keys and values, for GPUs without subgroups (formulas in
// attention_backward.wgsl).
//
// Two lanes work on a key row j, so that each keeps two rows of 64 instead of four:
//
//   one keeps k' and dv:        p[i] from k'·q'[i],    then dv += p[i] dOut[i]
//   the other keeps v and dk':  dS[i] from v·dOut[i],  then dk' += dS[i] q'[i]
//
// Both do the same to the two kinds of shared rows, in opposite order; p goes from the one to the
// other through workgroup memory. Grid (rows / 32, HEADS, batch).

const KIND_A = QUERY;
const KIND_B = GRADIENT;
const ROWS = 32u; // key rows of a workgroup

@group(0) @binding(6) var<storage, read> delta: array<f32>;

var<workgroup> weights: array<array<Values, ROWS>, 2>; // p of four queries, two places by turns

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
  head = group.y;
  batch = group.z;
  lane = index;
  let row = lane % ROWS;
  own = group.x * ROWS + row;
  let gradient_first = lane < ROWS; // the other
  let kind_first = select(QUERY, GRADIENT, gradient_first);
  let kind_second = select(GRADIENT, QUERY, gradient_first);

  var x = own_rows(select(KEY, VALUE, gradient_first));
  var dx: Rows;
  for (var query = 0u; query < TOKENS; query += PASS) {
    stage(query);
    let dots = dot_rows(&x, share_rows(kind_first, query));
    let place = query / PASS % 2u; // the other place may still be read
    if (!gradient_first) {
      let lses = Scalars(
        lse[place_of(query)], lse[place_of(query + 1u)],
        lse[place_of(query + 2u)], lse[place_of(query + 3u)],
      );
      weights[place][row] = within(exp_of(minus_each(times(dots, SCALE), lses)), query, 0.0);
    }
    workgroupBarrier();
    var w = weights[place][row];
    if (gradient_first) {
      let deltas = Scalars(
        delta[place_of(query)], delta[place_of(query + 1u)],
        delta[place_of(query + 2u)], delta[place_of(query + 3u)],
      );
      w = product(w, minus_each(dots, deltas));
    }
    accumulate(&dx, 1.0, w, share_rows(kind_second, query));
  }
  store_rows(select(VALUE, KEY, gradient_first), &dx, select(1.0, SCALE, gradient_first));
}
