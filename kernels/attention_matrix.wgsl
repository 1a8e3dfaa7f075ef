// Rows of attention for GPUs with matrix units (tensor cores): each of three subgroups owns 16 rows
// and meets 32 shared rows at a time, in the fragments of matrix_fragment.wgsl.
//
// Turned rows and the weights of shared rows are rounded to f16, sums are f32. A lane does not know
// which elements of a fragment it holds: products pass through workgroup memory, where the two lanes
// `lane ^ 1` of a row each take half of its numbers, and go back from there as weights.
//
// Lanes of a subgroup are taken to be neighbours in the workgroup, as they are in all drivers.
// attention.ts says in RAISES whether the kernel keeps a maximum.

const LANES = 96u;
const OWNED = 1u; // row whose numbers a lane has: maximum, sum, ...
const SPAN = 48u; // rows of a workgroup
const PASS = 32u; // shared rows at a time

alias Element = f32; // of fragments: f16

// A row is 64 halves (or sums), and a few more, so that rows lie in different banks.
const STRIDE = 18u;
const SUMS_STRIDE = 17u;

// PASS rows of KIND_A, PASS of KIND_B, then those of the workgroup: weights of the passing rows of
// KIND_A, of KIND_B. A workgroup's own rows pass through where the shared ones are.
var<workgroup> halves: array<vec4<Element>, (2u * PASS + SPAN) * STRIDE>;
// Products of the workgroup's rows with those of KIND_A, of KIND_B; at times whole rows.
var<workgroup> sums: array<vec4f, SPAN * SUMS_STRIDE>;
// Two numbers of each passing row: all of the one, then all of the other.
var<workgroup> numbers: array<vec4f, PASS / 2u>;
// Whether the maximum of a row was raised for these passing rows.
var<workgroup> has_raised: atomic<u32>;

struct Owned { d0: Left, d1: Left, d2: Left, d3: Left } // 16 dims each
struct Rows { d0: Sum, d1: Sum, d2: Sum, d3: Sum }
alias Passing = u32; // 0: those of KIND_A, 1: of KIND_B
alias Value = f32; // a number for the lane's row
alias Values = array<vec4f, 4>; // for each of 16 passing rows: the lane's half
alias Scalars = u32; // a number of each passing row, in workgroup memory: the first or the second

fn half_of_row() -> u32 {
  return lane % 2u;
}
// The lane's row, in the workgroup.
fn own_place() -> u32 {
  return lane / 2u;
}
// The first row of the lane's subgroup, in the workgroup.
fn subgroup_place() -> u32 {
  return lane / 32u * 16u;
}
fn weights_place(kind: Passing) -> u32 {
  return (2u * PASS + subgroup_place()) * STRIDE + kind * 8u;
}

fn put_pair(row: u32, c: u32, x: Pair) {
  halves[row * STRIDE + c] = vec4<Element>(x.lo);
  halves[row * STRIDE + 8u + c] = vec4<Element>(x.hi);
}
fn stage(first: u32) {
  workgroupBarrier(); // all lanes are done with the last rows
  for (var i = lane; i < PASS * 8u; i += LANES) {
    let token = min(first + i / 8u, TOKENS - 1u);
    put_pair(i / 8u, i % 8u, row_pair(KIND_A, token, i % 8u));
    put_pair(i / 8u + PASS, i % 8u, row_pair(KIND_B, token, i % 8u));
  }
  if (lane == 0u) {
    atomicStore(&has_raised, 0u);
  }
  workgroupBarrier();
}
fn share_rows(kind: u32, token: u32) -> Passing {
  return select(0u, 1u, kind == KIND_B);
}

// Keeps numbers of four passing rows. They may be read when the next product has been computed.
fn keep_numbers(place: Scalars, x: vec4f) {
  numbers[place * (PASS / 4u) + lane] = x;
}

fn own_rows(kind: u32) -> Owned {
  workgroupBarrier(); // the last ones have been read
  let first = own - own_place();
  for (var i = lane; i < SPAN * 8u; i += LANES) {
    put_pair(i / 8u, i % 8u, row_pair(kind, min(first + i / 8u, TOKENS - 1u), i % 8u));
  }
  workgroupBarrier();
  let place = subgroup_place() * STRIDE;
  return Owned(left_at(place), left_at(place + 4u), left_at(place + 8u), left_at(place + 12u));
}

fn spread(x: ptr<function, Rows>) {
  let place = subgroup_place() * SUMS_STRIDE;
  store_sum((*x).d0, place);
  store_sum((*x).d1, place + 4u);
  store_sum((*x).d2, place + 8u);
  store_sum((*x).d3, place + 12u);
  workgroupBarrier();
}
// Stores by * x, without the rows past the end.
fn store_rows(kind: u32, x: ptr<function, Rows>, by: Value) {
  workgroupBarrier(); // the last ones have been read
  spread(x);
  if (own < TOKENS) {
    let place = own_place() * SUMS_STRIDE;
    for (var c = half_of_row(); c < 8u; c += 2u) {
      store_pair(kind, own, c, Pair(by * sums[place + c], by * sums[place + 8u + c]));
    }
  }
}
fn value_of(x: array<f32, OWNED>) -> Value {
  return x[0];
}
fn value_at(x: Value, r: u32) -> f32 {
  return x;
}

fn dot_rows(x: ptr<function, Owned>, y: Passing) -> Values {
  let rows = y * PASS * STRIDE;
  let place = subgroup_place() * SUMS_STRIDE + y * 8u;
  store_sum(dot_16(x, rows), place);
  store_sum(dot_16(x, rows + 16u * STRIDE), place + 4u);
  workgroupBarrier();
  let own_half = own_place() * SUMS_STRIDE + y * 8u + half_of_row() * 4u;
  return Values(sums[own_half], sums[own_half + 1u], sums[own_half + 2u], sums[own_half + 3u]);
}
fn dot_16(x: ptr<function, Owned>, place: u32) -> Sum {
  var sum = Sum();
  sum = add_product((*x).d0, right_down(place), sum);
  sum = add_product((*x).d1, right_down(place + 4u), sum);
  sum = add_product((*x).d2, right_down(place + 8u), sum);
  return add_product((*x).d3, right_down(place + 12u), sum);
}

// x = keep x + sum_j w[j] y[j]; keep is 1 unless a maximum was raised.
fn accumulate(x: ptr<function, Rows>, keep: Value, w: Values, y: Passing) {
  let own_half = (2u * PASS + own_place()) * STRIDE + y * 8u + half_of_row() * 4u;
  halves[own_half] = vec4<Element>(w[0]);
  halves[own_half + 1u] = vec4<Element>(w[1]);
  halves[own_half + 2u] = vec4<Element>(w[2]);
  halves[own_half + 3u] = vec4<Element>(w[3]);
  if (!RAISES) {
    workgroupBarrier();
  } else if (workgroupUniformLoad(&has_raised) == 1u) { // it contains barriers
    scale_rows(x, keep);
  }
  let w0 = left_at(weights_place(y));
  let w1 = left_at(weights_place(y) + 4u);
  let rows = y * PASS * STRIDE;
  (*x).d0 = mix((*x).d0, w0, w1, rows);
  (*x).d1 = mix((*x).d1, w0, w1, rows + 4u);
  (*x).d2 = mix((*x).d2, w0, w1, rows + 8u);
  (*x).d3 = mix((*x).d3, w0, w1, rows + 12u);
}
fn mix(x: Sum, w0: Left, w1: Left, place: u32) -> Sum {
  return add_product(w1, right_at(place + 16u * STRIDE), add_product(w0, right_at(place), x));
}
fn scale_rows(x: ptr<function, Rows>, by: Value) {
  spread(x);
  let place = own_place() * SUMS_STRIDE + half_of_row() * 8u;
  for (var c = place; c < place + 8u; c++) {
    sums[c] *= by;
  }
  workgroupBarrier();
  let first = subgroup_place() * SUMS_STRIDE;
  *x = Rows(sum_at(first), sum_at(first + 4u), sum_at(first + 8u), sum_at(first + 12u));
}

// A row is scaled anew through workgroup memory, so its maximum is left as it is while weights stay
// below e^8, which an f16 holds as well as 1.
fn raised(highest: Value, scores: Values) -> Value {
  let all = max(max(scores[0], scores[1]), max(scores[2], scores[3]));
  let two = max(all.xy, all.zw);
  let most = max(two.x, two.y);
  let higher = max(most, subgroupShuffleXor(most, 1u));
  if (higher <= highest + 8.0) {
    return highest;
  }
  atomicStore(&has_raised, 1u);
  return higher;
}
fn sum_of(x: Values) -> Value {
  let sum = total_of((x[0] + x[1]) + (x[2] + x[3]));
  return sum + subgroupShuffleXor(sum, 1u);
}

// Arithmetic on each number, beside attention_fours.wgsl.
fn minus_each(x: Values, y: Scalars) -> Values {
  let i = y * (PASS / 4u) + half_of_row() * 4u;
  return Values(
    x[0] - numbers[i], x[1] - numbers[i + 1u], x[2] - numbers[i + 2u], x[3] - numbers[i + 3u],
  );
}
// Numbers for the shared rows from `first` on; `other` for those past the end.
fn within(x: Values, first: u32, other: f32) -> Values {
  let token = first + half_of_row() * 16u;
  return Values(
    within4(x[0], token, other), within4(x[1], token + 4u, other),
    within4(x[2], token + 8u, other), within4(x[3], token + 12u, other),
  );
}
fn within4(x: vec4f, token: u32, other: f32) -> vec4f {
  return select(vec4f(other), x, vec4u(token) + vec4u(0, 1, 2, 3) < vec4u(TOKENS));
}
