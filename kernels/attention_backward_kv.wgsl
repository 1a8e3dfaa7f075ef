// Attention backward, keys and values (formulas in attention_backward.wgsl).
//
// A lane owns key rows; grid (rows / SPAN, HEADS, batch). Queries pass two at a time. A lane
// keeps four rows of 64 for each row it owns: more registers than a GPU has, see
// attention_backward_kv_tile.wgsl.

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
  head = group.y;
  batch = group.z;
  lane = index;
  own = group.x * SPAN + lane;

  var k = own_rows(KEY);
  var v = own_rows(VALUE);
  var dk: Rows;
  var dv: Rows;
  for (var query = 0u; query < TOKENS; query += PASS) {
    let queries = share_some(QUERY, query);
    let gradients = share_some(GRADIENT, query);
    let lses = Numbers(lse_of(query), lse_of(query + 1u));
    let deltas = Numbers(delta_of(query), delta_of(query + 1u));
    let scores = times(SCALE, dot_some(&k, queries));
    let p = within(exp_of(less_each(scores, lses)), query, 0.0);
    let ds = product(p, less_each(dot_some(&v, gradients), deltas));
    accumulate(&dv, Value(1.0), p, gradients);
    accumulate(&dk, Value(1.0), ds, queries);
  }
  store_rows(KEY, &dk, Value(SCALE));
  store_rows(VALUE, &dv, Value(1.0));
}
