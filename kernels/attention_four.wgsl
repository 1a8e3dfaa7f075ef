// Shared rows that pass four at a time.

const PASS = 4u;

alias Some = array<Shared, 4>; // shared rows
alias Parts = array<Pair, 4>; // a pair of each
alias Values = array<Value, 4>; // a number for each row owned, for each of them
alias Numbers = vec4f; // a number for each of them

// Those past the end repeat the last one.
fn share_some(kind: u32, token: u32) -> Some {
  return Some(
    share(kind, token), share(kind, token + 1u), share(kind, token + 2u), share(kind, token + 3u),
  );
}
fn parts(rows: Some, c: u32) -> Parts {
  return Parts(part(rows[0], c), part(rows[1], c), part(rows[2], c), part(rows[3], c));
}
fn dot_some(x: ptr<function, Rows>, rows: Some) -> Values {
  return Values(
    dot_row(x, rows[0]), dot_row(x, rows[1]), dot_row(x, rows[2]), dot_row(x, rows[3]),
  );
}
fn mix_pair(x: Pair, keep: f32, w: Numbers, y: Parts) -> Pair {
  var lo = x.lo * keep;
  var hi = x.hi * keep;
  lo = fma(vec4f(w.x), y[0].lo, lo);
  hi = fma(vec4f(w.x), y[0].hi, hi);
  lo = fma(vec4f(w.y), y[1].lo, lo);
  hi = fma(vec4f(w.y), y[1].hi, hi);
  lo = fma(vec4f(w.z), y[2].lo, lo);
  hi = fma(vec4f(w.z), y[2].hi, hi);
  lo = fma(vec4f(w.w), y[3].lo, lo);
  hi = fma(vec4f(w.w), y[3].hi, hi);
  return Pair(lo, hi);
}

// Arithmetic on each number.
fn times(by: f32, x: Values) -> Values {
  return Values(by * x[0], by * x[1], by * x[2], by * x[3]);
}
fn product(x: Values, y: Values) -> Values {
  return Values(x[0] * y[0], x[1] * y[1], x[2] * y[2], x[3] * y[3]);
}
fn less(x: Values, y: Value) -> Values {
  return Values(x[0] - y, x[1] - y, x[2] - y, x[3] - y);
}
fn less_each(x: Values, y: Numbers) -> Values {
  return Values(x[0] - y[0], x[1] - y[1], x[2] - y[2], x[3] - y[3]);
}
fn exp_of(x: Values) -> Values {
  return Values(exp(x[0]), exp(x[1]), exp(x[2]), exp(x[3]));
}
fn most(x: Values) -> Value {
  return max(max(x[0], x[1]), max(x[2], x[3]));
}
fn sum_of(x: Values) -> Value {
  return (x[0] + x[1]) + (x[2] + x[3]);
}
// Numbers for the shared rows from `first` on; `other` for those past the end.
fn within(x: Values, first: u32, other: f32) -> Values {
  return Values(
    x[0],
    select(Value(other), x[1], first + 1u < TOKENS),
    select(Value(other), x[2], first + 2u < TOKENS),
    select(Value(other), x[3], first + 3u < TOKENS),
  );
}
