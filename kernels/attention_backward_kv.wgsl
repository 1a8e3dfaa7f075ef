// Attention backward, keys and values (formulas in attention_backward.wgsl).
//
// A lane owns key rows; grid (rows / SPAN, HEADS, batch). Queries pass four at a time. A lane
// keeps four rows of 64 for each row it owns: more registers than a GPU has, see
// attention_backward_kv_tile.wgsl.

@group(0) @binding(6) var<storage, read> delta: array<f32>;

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
  for (var query = 0u; query < TOKENS; query += 4u) {
    let queries = share4(QUERY, query);
    let gradients = share4(GRADIENT, query);
    let p = weights4(dot4(&k, queries), query);
    let ds = slopes4(p, dot4(&v, gradients), query);
    accumulate(&dv, Value(1.0), p, gradients);
    accumulate(&dk, Value(1.0), ds, queries);
  }
  store_rows(KEY, &dk, Value(SCALE));
  store_rows(VALUE, &dv, Value(1.0));
}
