// 1 / (1 + exp(-u)), by the exponential that cannot overflow.
fn sigmoid(u: vec4f) -> vec4f {
  let e = exp(-abs(u));
  return select(vec4f(1.0), e, u < vec4f()) / (1.0 + e);
}
