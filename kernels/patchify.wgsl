// Pixel bytes to normalised patch rows, the left operand of the patch embedding:
//
//   rows[r, 256 c + 16 ky + kx] = (pixels[b, 16 py + ky, 16 px + kx, c] / 255 - MEAN_c) / STD_c
//
//   pixels  (batch, HEIGHT, WIDTH, 3)  u8, interleaved RGB, four bytes a word
//   rows    (ROWS, 768)                r = (b, py, px) row-major
//
// One workgroup per patch; a lane takes 4 pixels of a line: 3 words in, a vec4 for
// each colour out. HEIGHT and WIDTH are multiples of 16.

alias Activation = f32;

override ROWS: u32 = 4;
override HEIGHT: u32 = 32;
override WIDTH: u32 = 32;
override MEAN_R: f32 = 0.485;
override MEAN_G: f32 = 0.456;
override MEAN_B: f32 = 0.406;
override STD_R: f32 = 0.229;
override STD_G: f32 = 0.224;
override STD_B: f32 = 0.225;

@group(0) @binding(0) var<storage, read> pixels: array<u32>;
@group(0) @binding(1) var<storage, read_write> rows: array<vec4<Activation>>;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) group: vec3u,
  @builtin(num_workgroups) groups: vec3u,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = group.y * groups.x + group.x;
  if (row >= ROWS) { return; }
  let across = WIDTH / 16u;
  let line = row / across * 16u + lane / 4u; // lines of all images: patches fill whole ones
  let column = row % across * 16u + lane % 4u * 4u;

  let word = (line * WIDTH + column) / 4u * 3u;
  let p = unpack4x8unorm(pixels[word]); // R0 G0 B0 R1
  let q = unpack4x8unorm(pixels[word + 1u]); // G1 B1 R2 G2
  let s = unpack4x8unorm(pixels[word + 2u]); // B2 R3 G3 B3
  let red = (vec4f(p.x, p.w, q.z, s.y) - MEAN_R) / STD_R;
  let green = (vec4f(p.y, q.x, q.w, s.z) - MEAN_G) / STD_G;
  let blue = (vec4f(p.z, q.y, s.x, s.w) - MEAN_B) / STD_B;

  let out = row * 192u + lane;
  rows[out] = vec4<Activation>(red);
  rows[out + 64u] = vec4<Activation>(green);
  rows[out + 128u] = vec4<Activation>(blue);
}
