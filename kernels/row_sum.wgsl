// Sums over matrix rows: ROW_LANES neighbouring lanes of a workgroup of GROUP_LANES share a row and
// take its columns in turn.

var<workgroup> row_partial: array<vec2f, GROUP_LANES>;

// Sum of the values of the lanes that share this lane's row. Call it from uniform
// control flow, from the lanes of missing rows too.
fn row_sum(value: vec2f, lane: u32) -> vec2f {
  row_partial[lane] = value;
  workgroupBarrier();
  for (var half = ROW_LANES / 2u; half > 0u; half /= 2u) {
    if (lane % ROW_LANES < half) { row_partial[lane] += row_partial[lane + half]; }
    workgroupBarrier();
  }
  let sum = row_partial[lane - lane % ROW_LANES];
  workgroupBarrier(); // all have read before the next call writes
  return sum;
}
