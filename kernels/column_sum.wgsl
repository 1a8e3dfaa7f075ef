// Sum of the rows of a matrix: gradient of a bias.
//
//   y[c] = sum_r x[r, c]  (+ y[c] when ACCUMULATE)
//
//   x  (ROWS, COLUMNS)
//   y  (COLUMNS)        f32
//
// A workgroup takes 8 vec4s of columns; each of its 32 row lanes adds rows lane,
// lane + 32, ... and a tree joins them: always in the same order, so a step gives
// the same bits again. COLUMNS is a multiple of 4.

alias Activation = f32;

override ROWS: u32 = 1;
override COLUMNS: u32 = 384;
override ACCUMULATE: bool = false;

const WIDE = 8u; // vec4s of columns
const DEEP = 32u; // row lanes

@group(0) @binding(0) var<storage, read> x: array<vec4<Activation>>;
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;

var<workgroup> partial: array<vec4f, WIDE * DEEP>;

@compute @workgroup_size(WIDE * DEEP)
fn main(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let column = group.x * WIDE + lane % WIDE;
  let width = COLUMNS / 4u;
  var sum = vec4f();
  if (column < width) {
    for (var row = lane / WIDE; row < ROWS; row += DEEP) { sum += vec4f(x[row * width + column]); }
  }
  partial[lane] = sum;

  for (var half = DEEP / 2u; half > 0u; half /= 2u) {
    workgroupBarrier(); // lanes of rows from half on have written
    if (lane / WIDE < half) { partial[lane] += partial[lane + half * WIDE]; }
  }
  if (lane < WIDE && column < width) {
    if (ACCUMULATE) { y[column] += partial[lane]; } else { y[column] = partial[lane]; }
  }
}
