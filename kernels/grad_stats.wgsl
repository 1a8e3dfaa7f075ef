// Statistics of all gradients, one partial result a workgroup, joined by scaler.wgsl:
//
//   partials[g] = (max |u|, sum u^2, 1 if a gradient is not finite, 0),  u = gradient / scale
//
//   gradients  (SIZE)         f32  multiplied by the loss scale
//   partials   (GROUPS) vec4  f32  over the finite gradients that workgroup g passes over

override SIZE: u32 = 1024;

const LANES = 256u;

struct Scaler { scale: f32 }

@group(0) @binding(0) var<storage, read> gradients: array<vec4f>;
@group(0) @binding(1) var<uniform> scaler: Scaler;
@group(0) @binding(2) var<storage, read_write> partials: array<vec4f>;

var<workgroup> joined: array<vec3f, LANES>;

// By its bits: compilers may assume that no value is NaN and drop a comparison that looks for one.
fn is_finite(x: vec4f) -> vec4<bool> {
  return (bitcast<vec4u>(x) & vec4u(0x7f800000)) != vec4u(0x7f800000);
}

fn join(a: vec3f, b: vec3f) -> vec3f {
  return vec3f(max(a.x, b.x), a.y + b.y, max(a.z, b.z));
}

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let inverse = 1.0 / scaler.scale;
  var largest = vec4f();
  var squares = vec4f();
  var bad = vec4f(); // numbers: Direct3D's compiler takes a bool that is and-ed in a loop for true
  for (var i = group.x * LANES + lane; i < (SIZE + 3) / 4; i += groups.x * LANES) {
    let scaled = gradients[i];
    let here = is_finite(scaled);
    let g = select(vec4f(), scaled, here) * inverse;
    largest = max(largest, abs(g));
    squares = fma(g, g, squares);
    bad = select(vec4f(1.0), bad, here);
  }
  joined[lane] = vec3f(
    max(max(largest.x, largest.y), max(largest.z, largest.w)),
    dot(squares, vec4f(1.0)),
    max(max(bad.x, bad.y), max(bad.z, bad.w)),
  );
  for (var half = LANES / 2; half > 0; half /= 2u) {
    workgroupBarrier(); // lanes above half have written
    if (lane < half) { joined[lane] = join(joined[lane], joined[lane + half]); }
  }
  if (lane == 0) { partials[group.x] = vec4f(joined[0], 0.0); }
}
