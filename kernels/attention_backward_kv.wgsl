// Attention backward, keys and values (formulas in attention_backward.wgsl).
//
//   delta  (batch, HEADS, TOKENS)  f32  of the pass over the queries
//
// A lane owns key rows; grid (rows / SPAN, HEADS, batch). Queries pass four at a time. A lane
// keeps four rows of 64 for each row it owns: more registers than a GPU has, see
// attention_backward_kv_tile.wgsl.

@group(0) @binding(6) var<storage, read> delta: array<f32>;

fn weight(s: Value, query: u32) -> Value {
  return exp(SCALE * s - lse[place_row(min(query, TOKENS - 1u))]);
}
fn slope(p: Value, dp: Value, query: u32) -> Value {
  return p * (dp - delta[place_row(min(query, TOKENS - 1u))]);
}

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
    let s = dot4(&k, queries);
    let dp = dot4(&v, gradients);
    let p = within(
      Values(
        weight(s[0], query),
        weight(s[1], query + 1u),
        weight(s[2], query + 2u),
        weight(s[3], query + 3u),
      ),
      query,
    );
    let ds = Values(
      slope(p[0], dp[0], query),
      slope(p[1], dp[1], query + 1u),
      slope(p[2], dp[2], query + 2u),
      slope(p[3], dp[3], query + 3u),
    );
    accumulate(&dv, Value(1.0), p, gradients);
    accumulate(&dk, Value(1.0), ds, queries);
  }
  store_rows(KEY, &dk, Value(SCALE));
  store_rows(VALUE, &dv, Value(1.0));
}
