// Attention backward, queries (formulas in attention_backward.wgsl).
//
//   out  (batch, TOKENS, HEADS, 64)  Activation  of the forward
//
// A lane owns query rows; grid (rows / SPAN, HEADS, batch). Keys and values pass four at a time.

const KIND_A = KEY;
const KIND_B = VALUE;

@group(0) @binding(6) var<storage, read> out: array<vec4<Activation>>;
@group(0) @binding(7) var<storage, read_write> delta: array<f32>;

fn row_lse(r: u32) -> f32 {
  return lse[place_row(own_token(r))];
}
fn row_delta(r: u32) -> f32 {
  let start = place_out(own_token(r));
  var sum = vec4f();
  for (var i = start; i < start + 16u; i++) {
    sum = fma(vec4f(dOut[i]), vec4f(out[i]), sum);
  }
  return (sum.x + sum.y) + (sum.z + sum.w);
}

@compute @workgroup_size(LANES)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) index: u32) {
  head = group.y;
  batch = group.z;
  lane = index;
  own = group.x * SPAN + lane;

  let own_lse = value_of(row_lse(0u), row_lse(OWNED - 1u));
  let own_delta = value_of(row_delta(0u), row_delta(OWNED - 1u));
  for (var r = 0u; r < OWNED; r++) {
    if (own + r * LANES < TOKENS) {
      delta[place_row(own + r * LANES)] = value_at(own_delta, r);
    }
  }

  var q = own_rows(QUERY);
  var d = own_rows(GRADIENT);
  var dq: Rows;
  for (var key = 0u; key < TOKENS; key += 4u) {
    stage(key);
    let keys = share4(KEY, key);
    let s = dot4(&q, keys);
    let dp = dot4(&d, share4(VALUE, key));
    let ds = Values(
      exp(SCALE * s[0] - own_lse) * (dp[0] - own_delta),
      exp(SCALE * s[1] - own_lse) * (dp[1] - own_delta),
      exp(SCALE * s[2] - own_lse) * (dp[2] - own_delta),
      exp(SCALE * s[3] - own_lse) * (dp[3] - own_delta),
    );
    accumulate(&dq, Value(1.0), within(ds, key), keys);
  }
  store_rows(QUERY, &dq, Value(SCALE));
}
