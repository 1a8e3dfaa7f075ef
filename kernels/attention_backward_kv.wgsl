// Attention backward, keys and values (formulas in attention_backward.wgsl).
//
// A lane owns key rows; grid (rows / SPAN, HEADS, batch). Queries pass PASS at a time; lse_of and
// delta_of, their numbers, are written by attention.ts. Four rows of 64 are kept for each row owned:
// for a lane that owns it whole, more registers than a GPU has, see attention_backward_kv_tile.wgsl.

const KIND_A = QUERY;
const KIND_B = GRADIENT;

@group(0) @binding(6) var<storage, read> delta: array<f32>;

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
  head = group.y;
  batch = group.z;
  lane = index;
  own = group.x * SPAN + own_place();

  var k = own_rows(KEY);
  var v = own_rows(VALUE);
  var dk: Rows;
  var dv: Rows;
  for (var query = 0u; query < TOKENS; query += PASS) {
    stage(query);
    let queries = share_rows(QUERY, query);
    let gradients = share_rows(GRADIENT, query);
    let lses = lse_of(query);
    let deltas = delta_of(query);
    let scores = times(dot_rows(&k, queries), SCALE);
    let p = within(exp_of(minus_each(scores, lses)), query, 0.0);
    let ds = product(p, minus_each(dot_rows(&v, gradients), deltas));
    accumulate(&dv, Value(1.0), p, gradients);
    accumulate(&dk, Value(1.0), ds, queries);
  }
  store_rows(KEY, &dk, Value(SCALE));
  store_rows(VALUE, &dv, Value(1.0));
}
