// Fragments of 16 × 16, each spread over the lanes of a subgroup as the hardware likes: all that is
// known of Tint's `chromium_experimental_subgroup_matrix`.
//
// Places are counted in vec4s. Every function needs control flow and a place that are uniform in
// the subgroup.

alias Left = subgroup_matrix_left<Element, 16, 16>;
alias Right = subgroup_matrix_right<Element, 16, 16>;
alias Sum = subgroup_matrix_result<f32, 16, 16>;

fn left_at(place: u32) -> Left {
  return subgroupMatrixLoad<Left, col_major>(&rows_tile, place, STRIDE);
}

fn right_at(place: u32) -> Right {
  return subgroupMatrixLoad<Right, row_major>(&columns_tile, place, STRIDE);
}

fn sum_at(place: u32) -> Sum {
  return subgroupMatrixLoad<Sum, row_major>(&sums, place, 4);
}

fn store_sum(sum: Sum, place: u32) {
  subgroupMatrixStore<row_major>(&sums, place, sum, 4);
}

fn add_product(left: Left, right: Right, sum: Sum) -> Sum {
  return subgroupMatrixMultiplyAccumulate(left, right, sum);
}
