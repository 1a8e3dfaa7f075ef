// 4 × 4 blocks of the slices of 16 k that pass through workgroup memory.

// Slices of the second product: they come before the first one's, so that both are one loop.
override SLICES2: u32 = (K2 + 15) / 16;

// The first slice of a part of K, and past its last.
fn slices_of(part: u32) -> vec2u {
  let all = SLICES2 + (K + 15) / 16;
  let share = (all + SPLITS - 1) / SPLITS;
  return vec2u(part * share, min(all, (part + 1) * share));
}

// Of one operand the walks of both products.
struct Walks { first: Walk, second: Walk }

// A block of 4 steps of k, each for 4 rows (columns); zeros past the depth.
fn block_of_a(at: Walks, slice: u32, quarter: u32) -> Block {
  if (slice < SLICES2) {
    let k4 = slice * 4 + quarter;
    if (k4 * 4 < K2) { return transpose(rows_of_a2(at.second, k4)); }
  } else {
    let k4 = (slice - SLICES2) * 4 + quarter;
    if (k4 * 4 < K) { return transpose(rows_of_a(at.first, k4)); }
  }
  return Block();
}

fn block_of_b(at: Walks, slice: u32, quarter: u32) -> Block {
  if (slice < SLICES2) {
    let k4 = slice * 4 + quarter;
    if (k4 * 4 < K2) { return columns_of_b2(at.second, k4); }
  } else {
    let k4 = (slice - SLICES2) * 4 + quarter;
    if (k4 * 4 < K) { return columns_of_b(at.first, k4); }
  }
  return Block();
}
