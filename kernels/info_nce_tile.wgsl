// Logits of 8 rows against 4 columns, the register tile of both info_nce kernels:
//
//   Z[i, j] = exp(logit_scale) * own[i] . other[j]
//
//   own, other   (N, D)  f32  unit rows; D is a multiple of 4; declared by operands.ts
//   logit_scale  (1)     f32  natural logarithm of the inverse temperature
//
// A workgroup takes 8 rows of `own` and walks over all rows of `other`, the columns of Z, a tile of
// 4 columns per lane at a time.

override N: u32 = 128;
override D: u32 = 256;

const LANES = 64u;
const ROWS = 8u;
const TILE = 4u * LANES; // columns

@group(0) @binding(2) var<storage, read> logit_scale: array<f32>;

// low[c] has rows row .. row + 3 of column column + c, high[c] the four rows after them.
struct Logits { low: mat4x4f, high: mat4x4f }

// Four consecutive indices, those past the end replaced by the last.
fn four(first: u32) -> vec4u {
  return min(first + vec4u(0, 1, 2, 3), vec4u(N - 1));
}

fn owns(i: vec4u) -> mat4x4f {
  return mat4x4f(own_at(i.x), own_at(i.y), own_at(i.z), own_at(i.w));
}

fn others(i: vec4u) -> mat4x4f {
  return mat4x4f(other_at(i.x), other_at(i.y), other_at(i.z), other_at(i.w));
}

fn logits(row: u32, column: u32) -> Logits {
  let l = four(row) * (D / 4);
  let h = four(row + 4) * (D / 4);
  let c = four(column) * (D / 4);
  var low = mat4x4f();
  var high = mat4x4f();
  for (var k = 0u; k < D / 4; k++) {
    let columns = others(c + k);
    low += transpose(owns(l + k)) * columns;
    high += transpose(owns(h + k)) * columns;
  }
  let scale = exp(logit_scale[0]);
  return Logits(scale * low, scale * high);
}
