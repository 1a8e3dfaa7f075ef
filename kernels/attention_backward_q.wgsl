// Attention backward, queries (formulas in attention_backward.wgsl).
//
//   out  (batch, TOKENS, HEADS, 64)  Activation  of the forward
//
// A lane owns query rows; grid (rows / SPAN, HEADS, batch). Keys and values pass PASS at a time.

const KIND_A = KEY;
const KIND_B = VALUE;

@group(0) @binding(6) var<storage, read_write> delta: array<f32>;
@group(0) @binding(7) var<storage, read> out: array<vec4<Activation>>;

fn row_delta(r: u32) -> f32 {
  let start = place_out(own_token(r));
  var sum = vec4f(0);
  for (var i = start; i < start + 16u; i++) {
    sum = fma(dOut_at(i), vec4f(out[i]), sum);
  }
  return total_of(sum);
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
  head = group.y;
  batch = group.z;
  lane = index;
  own = group.x * SPAN + own_place();

  // Arrays in memory, for once: this is outside the loop over the keys.
  var lses: array<f32, OWNED>;
  var deltas: array<f32, OWNED>;
  for (var r = 0u; r < OWNED; r++) {
    lses[r] = lse[place_row(own_token(r))];
    deltas[r] = row_delta(r);
    if (own + r * LANES < TOKENS) {
      delta[place_row(own + r * LANES)] = deltas[r];
    }
  }
  let own_lse = value_of(lses);
  let own_delta = value_of(deltas);

  var q = own_rows(QUERY);
  var d = own_rows(GRADIENT);
  var dq: Rows;
  for (var key = 0u; key < TOKENS; key += PASS) {
    stage(key);
    let keys = share_rows(KEY, key);
    let p = exp_of(minus(times(dot_rows(&q, keys), SCALE), own_lse));
    let ds = product(p, minus(dot_rows(&d, share_rows(VALUE, key)), own_delta));
    accumulate(&dq, Value(1.0), within(ds, key, 0.0), keys);
  }
  store_rows(QUERY, &dq, Value(SCALE));
}
