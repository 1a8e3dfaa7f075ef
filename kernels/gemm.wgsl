// Operands of every GEMM variant and loads of 4×4 blocks of them. With gemm_epilogue.wgsl:
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

override K: u32 = 64;
override K2: u32 = 0;
override A_KM: bool = false;
override B_NK: bool = false;
override SCALE2: f32 = 1;
override RATE: f32 = 0; // dropout of the second product

// Where and when something is dropped: the keys of the mask, and the first element's number.
struct Site { seed: u32, step: u32, stream: u32, first: u32 }

@group(0) @binding(5) var<storage, read> a: array<vec4<TypeA>>;
@group(0) @binding(6) var<storage, read> b: array<vec4<TypeB>>;
@group(0) @binding(7) var<storage, read> a2: array<vec4<TypeA2>>;
@group(0) @binding(8) var<storage, read> b2: array<vec4<TypeB2>>;
@group(0) @binding(9) var<storage, read> site: Site;

// Where four consecutive vec4s of an operand lie: `first`, then `stride` apart.
struct Walk { first: vec4u, stride: u32 }

// The four vec4s of rows (or columns) i..i+3 at k = 0; `major`: the operand is stored (k, i).
fn walk(i: u32, extent: u32, depth: u32, major: bool) -> Walk {
  if (major) {
    let column = min(i, extent - 4) / 4;
    return Walk(column + vec4u(0, 1, 2, 3) * (extent / 4), extent);
  }
  let rows = min(vec4u(i) + vec4u(0, 1, 2, 3), vec4u(extent - 1));
  return Walk(rows * (depth / 4), 1);
}

// 4 k-vectors, one for each of 4 rows of a: result[q] = a[row + q][4·k4 .. 4·k4 + 3].
fn rows_of_a(at: Walk, k4: u32) -> mat4x4f {
  if (A_KM) {
    let i = at.first + k4 * at.stride;
    // Rows past K are zero; only K-major operands may have a K that is no multiple of 4.
    let last = max(K * (M / 4), 1) - 1;
    let inside = vec4u(0, 1, 2, 3) + 4 * k4 < vec4u(K);
    return transpose(mat4x4f(
      select(vec4f(), vec4f(a[min(i.x, last)]), inside.x),
      select(vec4f(), vec4f(a[min(i.y, last)]), inside.y),
      select(vec4f(), vec4f(a[min(i.z, last)]), inside.z),
      select(vec4f(), vec4f(a[min(i.w, last)]), inside.w),
    ));
  }
  let i = at.first + k4;
  return mat4x4f(vec4f(a[i.x]), vec4f(a[i.y]), vec4f(a[i.z]), vec4f(a[i.w]));
}

// 4 column-vectors of b, one for each of 4 k: result[x] = b[4·k4 + x][column .. column + 3].
fn columns_of_b(at: Walk, k4: u32) -> mat4x4f {
  if (B_NK) {
    let i = at.first + k4;
    return transpose(mat4x4f(vec4f(b[i.x]), vec4f(b[i.y]), vec4f(b[i.z]), vec4f(b[i.w])));
  }
  let last = max(K * (N / 4), 1) - 1; // past K a's rows are zero: any finite value will do
  let i = min(at.first + k4 * at.stride, vec4u(last));
  return mat4x4f(vec4f(b[i.x]), vec4f(b[i.y]), vec4f(b[i.z]), vec4f(b[i.w]));
}

fn rows_of_a2(at: Walk, k4: u32) -> mat4x4f {
  let i = at.first + k4;
  return mat4x4f(vec4f(a2[i.x]), vec4f(a2[i.y]), vec4f(a2[i.z]), vec4f(a2[i.w]));
}

fn columns_of_b2(at: Walk, k4: u32) -> mat4x4f {
  if (B_NK) {
    let i = at.first + k4;
    return transpose(mat4x4f(vec4f(b2[i.x]), vec4f(b2[i.y]), vec4f(b2[i.z]), vec4f(b2[i.w])));
  }
  let i = at.first + k4 * at.stride;
  return mat4x4f(vec4f(b2[i.x]), vec4f(b2[i.y]), vec4f(b2[i.z]), vec4f(b2[i.w]));
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
