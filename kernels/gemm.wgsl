// Loads of 4×4 blocks of the operands, the same for every GEMM variant: NAME_at(i), declared by
// operands.ts, is vec4 number i of one, as Elements: f32, or what matrix units take. With
// gemm_epilogue.wgsl:
//
//   t = scale2 · keep ∘ (a2 · b2)      second product, K2 deep (0: none)
//   c = epilogue(t + a · b)            first product, K deep
//
//   a, a2  (M, K), (M, K2), or stored transposed as (K, M) when A_KM
//   b, b2  (K, N), (K2, N), or stored transposed as (N, K) when B_NK
//
// The second product is LoRA's: y = x·Wᵀ + b + s·h·Bᵀ and dx = dy·W + keep ∘ (du·A) are one GEMM
// each over a longer K. `keep` is the dropout mask of the adapter's input, rebuilt from its counter.
// N is a multiple of 4; M too when A_KM; K and K2 are unless both operands are K-major.

alias TypeA = f32;
alias TypeB = f32;
alias TypeA2 = f32;
alias TypeB2 = f32;
alias Element = f32;
alias Block = mat4x4<Element>;

override K: u32 = 64;
override K2: u32 = 0;
override A_KM: bool = false;
override B_NK: bool = false;
override SCALE2: f32 = 1;
override RATE: f32 = 0; // dropout of the second product

// Where and when something is dropped: the keys of the mask, and the first element's number.
struct Site { seed: u32, step: u32, stream: u32, first: u32 }

@group(0) @binding(9) var<uniform> site: Site;

// Where a block of four vec4s of an operand lies: at `first + k4 * stride`, then `step` apart.
struct Walk { first: u32, step: u32, stride: u32 }

// Rows (or columns) i..i+3; `major`: the operand is stored (k, i). What lies past the end is read as
// it comes and never stored, for each clamped index is paid for in every step of k. Of the two
// clamps there could be, the one that is here makes LLVM keep the index whole: a tenth faster.
fn walk(i: u32, extent: u32, depth: u32, major: bool) -> Walk {
  if (major) { return Walk(min(i, extent - 4) / 4, extent / 4, extent); }
  return Walk(i * (depth / 4), depth / 4, 1);
}

// 4 k-vectors, one for each of 4 rows of a: result[q] = a[row + q][4·k4 .. 4·k4 + 3].
fn rows_of_a(at: Walk, k4: u32) -> Block {
  let i = at.first + k4 * at.stride;
  let block = Block(
    a_at(i), a_at(i + at.step), a_at(i + 2 * at.step), a_at(i + 3 * at.step),
  );
  if (A_KM) { return transpose(up_to_k(block, k4)); }
  return block;
}

// 4 column-vectors of b, one for each of 4 k: result[x] = b[4·k4 + x][column .. column + 3].
fn columns_of_b(at: Walk, k4: u32) -> Block {
  let i = at.first + k4 * at.stride;
  let block = Block(
    b_at(i), b_at(i + at.step), b_at(i + 2 * at.step), b_at(i + 3 * at.step),
  );
  if (B_NK) { return transpose(block); }
  if (A_KM) { return up_to_k(block, k4); }
  return block;
}

// Zeros in place of rows past K, which may hold anything: only where both operands are K-major may
// K be no multiple of 4.
fn up_to_k(block: Block, k4: u32) -> Block {
  if (K % 4 == 0) { return block; }
  let inside = vec4u(0, 1, 2, 3) + 4 * k4 < vec4u(K);
  return Block(
    select(vec4<Element>(), block[0], inside.x),
    select(vec4<Element>(), block[1], inside.y),
    select(vec4<Element>(), block[2], inside.z),
    select(vec4<Element>(), block[3], inside.w),
  );
}

fn rows_of_a2(at: Walk, k4: u32) -> Block {
  let i = at.first + k4 * at.stride;
  return Block(
    a2_at(i), a2_at(i + at.step), a2_at(i + 2 * at.step), a2_at(i + 3 * at.step),
  );
}

fn columns_of_b2(at: Walk, k4: u32) -> Block {
  let i = at.first + k4 * at.stride;
  let block = Block(
    b2_at(i), b2_at(i + at.step), b2_at(i + 2 * at.step), b2_at(i + 3 * at.step),
  );
  if (B_NK) { return transpose(block); }
  return block;
}

// sum + columns · row: four steps of k for one row and four columns.
fn fold(sum: vec4f, row: vec4f, columns: mat4x4f) -> vec4f {
  return fma(columns[3], vec4f(row.w), fma(columns[2], vec4f(row.z),
    fma(columns[1], vec4f(row.y), fma(columns[0], vec4f(row.x), sum))));
}

// The second product's sum at (row, column .. column + 3), as the first one's start.
fn between(sum: vec4f, row: u32, column: u32) -> vec4f {
  if (K2 == 0) { return sum; }
  if (RATE == 0) { return SCALE2 * sum; }
  let key = dropout_key(site.seed, site.step, site.stream);
  let e = site.first + row * N + column;
  return SCALE2 * sum *
    vec4f(keep(key, e, RATE), keep(key, e + 1, RATE), keep(key, e + 2, RATE), keep(key, e + 3, RATE));
}
