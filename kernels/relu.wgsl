// ReLU that keeps NaN. By bits: compilers may assume that no value is NaN, and then a comparison is
// worth no more than max, which hides it (NVIDIA's does so).
fn relu(x: vec4f) -> vec4f {
  let bits = bitcast<vec4u>(x);
  let negative = (bits >= vec4u(0x80000000)) & (bits <= vec4u(0xff800000)); // -0 to -infinity
  return select(x, vec4f(), negative);
}
