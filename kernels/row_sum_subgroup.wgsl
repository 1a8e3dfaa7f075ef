// As row_sum.wgsl, the same sums in the same order, for subgroups of 8 lanes or more: the lanes
// that share a row are in one subgroup and swap their values, without memory and barriers.

// A lane adds what its partner adds: all end with the same bits. `lane` is not needed here.
fn row_sum(value: vec2f, lane: u32) -> vec2f {
  let pairs = value + subgroupShuffleXor(value, 4u);
  let fours = pairs + subgroupShuffleXor(pairs, 2u);
  return fours + subgroupShuffleXor(fours, 1u);
}
