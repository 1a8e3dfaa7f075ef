// Decides one optimiser step from the partials of grad_stats.wgsl: take it or skip it, the factor
// that unscales and clips by norm, and the next loss scale. One invocation: there is little to do.
//
//   partials  (GROUPS) vec4  f32  max |u|, sum u^2, not finite, 0
//   scaler    f32[8]              read and written; `scale` in it is already the next step's
//
// Doubling, halving and the interval are those of torch.amp.GradScaler, the factor that of
// torch.nn.utils.clip_grad_norm_ times 1 / scale.

override GROUPS: u32 = 1;
override CLIP_NORM: f32 = 0; // 0: off
override DYNAMIC: bool = true;
override GROWTH_INTERVAL: f32 = 2000;

const LARGEST = 3.4028234e38;

struct Scaler {
  scale: f32,
  tracker: f32,
  found_inf: f32,
  skipped: f32,
  steps: f32,
  grad_norm: f32,
  grad_max: f32,
  coef: f32,
}

@group(0) @binding(0) var<storage, read> partials: array<vec4f>;
@group(0) @binding(1) var<storage, read_write> scaler: Scaler;

@compute @workgroup_size(1)
fn main() {
  var largest = 0.0;
  var squares = 0.0;
  var found_inf = 0.0;
  for (var g = 0u; g < GROUPS; g++) {
    largest = max(largest, partials[g].x);
    squares += partials[g].y;
    found_inf = max(found_inf, partials[g].z);
  }
  var next = scaler;
  next.grad_max = largest;
  next.grad_norm = sqrt(squares);
  next.coef = 1.0 / scaler.scale;
  if (CLIP_NORM > 0) { next.coef *= min(1.0, CLIP_NORM / (next.grad_norm + 1e-6)); }
  next.found_inf = found_inf;
  if (found_inf > 0) {
    next.skipped += 1.0;
    if (DYNAMIC) {
      next.scale *= 0.5;
      next.tracker = 0.0;
    }
  } else {
    next.skipped = 0.0;
    next.steps += 1.0;
    if (DYNAMIC) {
      next.tracker += 1.0;
      if (next.tracker >= GROWTH_INTERVAL) {
        next.tracker = 0.0;
        if (next.scale <= LARGEST / 2.0) { next.scale *= 2.0; }
      }
    }
  }
  scaler = next;
}
