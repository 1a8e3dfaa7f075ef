// Rows of attention heads: layout, rotary embedding (RoPE), products with shared rows.
//
//   qkv     (batch, TOKENS, 3, HEADS, 64)  Activation  parts QUERY, KEY, VALUE
//   cosine  (TOKENS - PREFIX, 32)          f32         of the angle of each dim pair, by patch
//   sine    (TOKENS - PREFIX, 32)          f32
//
// A row of 64 is 8 pairs: pair c is the dims 4c..4c+3 with the dims 32 above them, which RoPE
// turns together. The first PREFIX tokens (class, registers) have no place and are not turned.
//
// An invocation owns rows of one side (the queries, say) and meets all rows of the other side, PASS
// at a time; those it shares with its workgroup. How many it owns, how many pass, and how a shared
// row gets to every invocation, is the matter of what follows this file: attention_owned.wgsl with
// what attention_subgroup.ts writes or attention_tile.wgsl, or what attention_split.ts writes, or
// attention_matrix.wgsl. The kernel comes last and says what a row is:
//
//   fn row_pair(kind: u32, token: u32, c: u32) -> Pair      reads pair c of a row
//   fn store_pair(kind: u32, token: u32, c: u32, x: Pair)   writes it
//   KIND_A, KIND_B                                          kinds of the shared rows of a tile
//
// What follows this file defines, for all lanes of a workgroup to call alike (* may hold barriers):
//
//   LANES, SPAN, PASS, OWNED       lanes and rows of a workgroup, passing rows, rows a lane has numbers of
//   Value                          a number for each of those
//   Values                         a number for each of them and each passing row
//   Scalars                        a number for each passing row, or where these are
//   Rows, Passing                  rows owned, to be added to; passing rows, or where they are
//   own_place()                    in the workgroup, of the lane's first row
//   own_rows(kind)               * rows owned, to be multiplied
//   stage(first)                 * has PASS rows of both kinds, from `first` on, ready to be shared
//   share_rows(kind, first)        those of one kind, as Passing
//   dot_rows(&rows, passing)     * Values: each row times each passing row
//   accumulate(&rows, keep, w, passing)
//                                * rows = keep rows + sum_j w[j] passing[j]
//   store_rows(kind, &rows, by)  * stores by * rows, without those past the end
//   raised(highest, values)        Value: a maximum that takes in the values
//   within(values, first, other)   `other` for passing rows past the end
//   times, minus, minus_each, product, exp_of, sum_of, value_of, value_at    arithmetic on numbers
//
// operands.ts declares what is only read: NAME_at(i) is vec4 number i of it.
// RoPE: Su et al. 2021, arXiv:2104.09864.

alias Activation = f32;

override HEADS: u32 = 6;
override TOKENS: u32 = 261;
override PREFIX: u32 = 5;

const QUERY = 0u;
const KEY = 1u;
const VALUE = 2u;
const SCALE = 0.125; // 64 ** -0.5

struct Pair { lo: vec4f, hi: vec4f }

var<private> batch: u32;
var<private> head: u32;
var<private> lane: u32;
var<private> own: u32; // first row owned; the next one is LANES further

// Places of the vec4 (pair 0).lo; .hi is 8 further, pair c is c further.
fn place_qkv(part: u32, token: u32) -> u32 {
  return (((batch * TOKENS + token) * 3u + part) * HEADS + head) * 16u;
}
fn place_out(token: u32) -> u32 { // (batch, TOKENS, HEADS, 64)
  return ((batch * TOKENS + token) * HEADS + head) * 16u;
}
fn place_row(token: u32) -> u32 { // (batch, HEADS, TOKENS)
  return (batch * HEADS + head) * TOKENS + token;
}

// cos and sin for pair c.
fn angle(token: u32, c: u32) -> Pair {
  let i = (max(token, PREFIX) - PREFIX) * 8u + c;
  let placed = token >= PREFIX;
  return Pair(select(vec4f(1.0), cosine_at(i), placed), select(vec4f(0.0), sine_at(i), placed));
}
fn turn(x: Pair, a: Pair) -> Pair {
  return Pair(x.lo * a.lo - x.hi * a.hi, x.hi * a.lo + x.lo * a.hi);
}
fn turn_back(x: Pair, a: Pair) -> Pair {
  return turn(x, Pair(a.lo, -a.hi));
}

// Pair c of a query, a key (both turned) or a value.
fn qkv_pair(part: u32, token: u32, c: u32) -> Pair {
  let i = place_qkv(part, token) + c;
  let x = Pair(qkv_at(i), qkv_at(i + 8u));
  if (part == VALUE) {
    return x;
  }
  return turn(x, angle(token, c));
}

fn own_token(r: u32) -> u32 {
  return min(own + r * LANES, TOKENS - 1u);
}
fn total_of(sum: vec4f) -> f32 {
  let halves = sum.xy + sum.zw;
  return halves.x + halves.y;
}
