// Counter-based random numbers for dropout: the mask is a function of
// (seed, step, stream, element), so it is never stored and every pass that asks
// for an element gets the same answer. Twin: random_cpu.ts, equal bit by bit.
//
// mix: finaliser of MurmurHash3 (x86, 32 bits), Appleby 2011, public domain.

fn mix(input: u32) -> u32 {
  var x = input;
  x ^= x >> 16u;
  x *= 0x85EBCA6Bu;
  x ^= x >> 13u;
  x *= 0xC2B2AE35u;
  x ^= x >> 16u;
  return x;
}

// Key of the mask of one stream (a layer whose input is dropped) at one step.
fn dropout_key(seed: u32, step: u32, stream: u32) -> u32 {
  return mix(mix(mix(seed ^ 0x9E3779B9u) ^ step) ^ stream);
}

// Factor of one element: 0 with probability rate, else 1 / (1 - rate); rate is in
// [0, 1). Two rounds: with one, the masks of two keys are permutations of each
// other within every aligned block of elements.
fn keep(key: u32, element: u32, rate: f32) -> f32 {
  let bits = mix(mix(element ^ key) ^ key) >> 8u; // f32 holds 24 bits exactly
  return select(0.0, 1.0 / (1.0 - rate), f32(bits) * 0x1p-24 >= rate);
}
