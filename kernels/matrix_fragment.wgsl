// Fragments of 16 × 16, each spread over the lanes of a subgroup as the hardware likes: all that is
// known of Tint's `chromium_experimental_subgroup_matrix`.
//
// A fragment is read from rows of workgroup memory, which the kernel declares, at a place counted
// in vec4s; every function needs control flow and a place that are uniform in the subgroup:
//
//   const STRIDE = ...u;                                     vec4s from a row of halves to the next
//   const SUMS_STRIDE = ...u;                                the same of sums
//   var<workgroup> halves: array<vec4<Element>, ...>;
//   var<workgroup> sums: array<vec4f, ...>;

alias Left = subgroup_matrix_left<Element, 16, 16>;
alias Right = subgroup_matrix_right<Element, 16, 16>;
alias Sum = subgroup_matrix_result<f32, 16, 16>;

// Its rows are rows of halves; `_down`: its columns are.
fn left_at(place: u32) -> Left {
  return subgroupMatrixLoad<Left, row_major>(&halves, place, STRIDE);
}

fn left_down(place: u32) -> Left {
  return subgroupMatrixLoad<Left, col_major>(&halves, place, STRIDE);
}

fn right_at(place: u32) -> Right {
  return subgroupMatrixLoad<Right, row_major>(&halves, place, STRIDE);
}

fn right_down(place: u32) -> Right {
  return subgroupMatrixLoad<Right, col_major>(&halves, place, STRIDE);
}

fn sum_at(place: u32) -> Sum {
  return subgroupMatrixLoad<Sum, row_major>(&sums, place, SUMS_STRIDE);
}

fn store_sum(sum: Sum, place: u32) {
  subgroupMatrixStore<row_major>(&sums, place, sum, SUMS_STRIDE);
}

fn add_product(left: Left, right: Right, sum: Sum) -> Sum {
  return subgroupMatrixMultiplyAccumulate(left, right, sum);
}
