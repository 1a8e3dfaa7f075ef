// InfoNCE backward for the rows of one side (logits Z as in info_nce_tile.wgsl), 8 a workgroup:
//
//   W[i, j]     = exp(Z[i, j] - own_lse[i]) + exp(Z[i, j] - other_lse[j])
//                 - (smoothing[i] + smoothing[j]) / N - 2 (1 - smoothing[i]) [i = j]
//   gradient[i] = scaler.scale * exp(logit_scale) / 2N * sum_j W[i, j] other[j]
//
//   smoothing           (N)     f32  0 to 1
//   own_lse, other_lse  (N)     f32  of Z's rows and of its columns
//   gradient            (N, D)  f32  written
//
// Lanes divide a tile's columns to compute W, which passes through workgroup memory, and then the
// D / 4 vec4s of a row to apply it. The running gradient stays in global memory, each element
// always with one lane, so that any D fits.

struct Scaler { scale: f32 }

@group(0) @binding(3) var<storage, read> smoothing: array<f32>;
@group(0) @binding(4) var<storage, read> own_lse: array<f32>;
@group(0) @binding(5) var<storage, read> other_lse: array<f32>;
@group(0) @binding(6) var<uniform> scaler: Scaler;
@group(0) @binding(7) var<storage, read_write> gradient: array<vec4f>;

// W of a tile: element `lane` has that lane's four columns. As vec4s: before version 3 matrices of
// Metal have no constructors in workgroup memory.
alias Columns = array<vec4f, 4>;
var<workgroup> low_weights: array<Columns, LANES>;
var<workgroup> high_weights: array<Columns, LANES>;

fn columns_of(x: mat4x4f) -> Columns {
  return Columns(x[0], x[1], x[2], x[3]);
}

fn rows_of(x: Columns) -> mat4x4f {
  return transpose(mat4x4f(x[0], x[1], x[2], x[3]));
}

fn weights_of(logit: vec4f, rows: vec4u, column: u32) -> vec4f {
  if (column >= N) { return vec4f(); }
  let spread = vec4f(smoothing[rows.x], smoothing[rows.y], smoothing[rows.z], smoothing[rows.w]);
  let lse = vec4f(own_lse[rows.x], own_lse[rows.y], own_lse[rows.z], own_lse[rows.w]);
  return exp(logit - lse) + exp(logit - other_lse[column])
    - (spread + smoothing[column]) / f32(N)
    - select(vec4f(), 2.0 * (1.0 - spread), rows == vec4u(column));
}

fn weights_of4(logits: mat4x4f, rows: vec4u, column: u32) -> mat4x4f {
  return mat4x4f(
    weights_of(logits[0], rows, column),
    weights_of(logits[1], rows, column + 1),
    weights_of(logits[2], rows, column + 2),
    weights_of(logits[3], rows, column + 3),
  );
}

// Rows row .. row + 3 of the gradient at vec4 `slice`.
fn load4(row: u32, slice: u32) -> mat4x4f {
  let i = four(row) * (D / 4) + slice;
  return mat4x4f(gradient[i.x], gradient[i.y], gradient[i.z], gradient[i.w]);
}

fn store4(row: u32, slice: u32, values: mat4x4f) {
  let i = row * (D / 4) + slice;
  if (row < N) { gradient[i] = values[0]; }
  if (row + 1 < N) { gradient[i + D / 4] = values[1]; }
  if (row + 2 < N) { gradient[i + D / 2] = values[2]; }
  if (row + 3 < N) { gradient[i + D / 4 * 3] = values[3]; }
}

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group.x * ROWS;
  let factor = scaler.scale * exp(logit_scale[0]) / (2.0 * f32(N));
  for (var tile = 0u; tile < N; tile += TILE) {
    let column = tile + 4 * lane;
    let z = logits(row, column);
    low_weights[lane] = columns_of(factor * weights_of4(z.low, four(row), column));
    high_weights[lane] = columns_of(factor * weights_of4(z.high, four(row + 4), column));
    workgroupBarrier(); // W is complete

    let filled = min(LANES, (N - tile + 3) / 4);
    // As often for all lanes: of a loop that may end earlier for some, Direct3D fears for the barrier.
    for (var first = 0u; first < D / 4; first += LANES) {
      let slice = first + lane;
      if (slice >= D / 4) { continue; }
      var low = mat4x4f();
      var high = mat4x4f();
      if (tile > 0) {
        low = load4(row, slice);
        high = load4(row + 4, slice);
      }
      for (var l = 0u; l < filled; l++) {
        let columns = others(four(tile + 4 * l) * (D / 4) + slice);
        low += columns * rows_of(low_weights[l]);
        high += columns * rows_of(high_weights[l]);
      }
      store4(row, slice, low);
      store4(row + 4, slice, high);
    }
    workgroupBarrier(); // W may be overwritten
  }
}
