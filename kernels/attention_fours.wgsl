// Arithmetic on Values that are four numbers, or four vec4s.

fn times(x: Values, by: f32) -> Values {
  return Values(by * x[0], by * x[1], by * x[2], by * x[3]);
}
fn product(x: Values, y: Values) -> Values {
  return Values(x[0] * y[0], x[1] * y[1], x[2] * y[2], x[3] * y[3]);
}
fn minus(x: Values, y: Value) -> Values {
  return Values(x[0] - y, x[1] - y, x[2] - y, x[3] - y);
}
fn exp_of(x: Values) -> Values {
  return Values(exp(x[0]), exp(x[1]), exp(x[2]), exp(x[3]));
}
