// GELU with the exact erf (not tanh) and its derivative. u in f32:
//
//   gelu(u)      = u * cdf(u)                cdf(u) = (1 + erf(u / sqrt(2))) / 2
//   gelu_grad(u) = cdf(u) + u * exp(-u^2 / 2) / sqrt(2 pi)
//
// erf: Abramowitz & Stegun 1964, 7.1.26, |error| <= 1.5e-7. The tail 1 - erf is
// what the formula gives, so a negative u loses nothing to cancellation.

fn normal_cdf(u: vec4f) -> vec4f {
  let z = abs(u) * 0.7071067811865476;
  let t = 1.0 / (1.0 + 0.3275911 * z);
  var p = 1.421413741 + t * (-1.453152027 + t * 1.061405429);
  p = t * (0.254829592 + t * (-0.284496736 + t * p));
  let tail = 0.5 * p * exp(-z * z);
  return select(1.0 - tail, tail, u < vec4f());
}

fn gelu(u: vec4f) -> vec4f {
  return u * normal_cdf(u);
}

fn gelu_grad(u: vec4f) -> vec4f {
  return normal_cdf(u) + u * exp(-0.5 * u * u) * 0.3989422804014327;
}
