import { blend, decayedGradient, decayTerm, endOf, loadLanes, storeLanes, wideEnd } from "./lanes";

@inline function sgdAt(full: bool, decayed: bool, w: usize, g: usize, rate: v128, l1: v128, l2: v128): void {
  const weights = loadLanes(full, w);
  const gradient = decayedGradient(decayed, loadLanes(full, g), weights, l1, l2);
  storeLanes(full, w, f32x4.sub(weights, f32x4.mul(rate, gradient)));
}

@inline function sgdLoop(decayed: bool, w: usize, g: usize, n: u32, rate: f32, l1: f32, l2: f32): void {
  const r = f32x4.splat(rate), a = f32x4.splat(l1), b = f32x4.splat(l2);
  const wide = wideEnd(w, n), end = endOf(w, n);
  while (w < wide) {
    sgdAt(true, decayed, w, g, r, a, b);
    sgdAt(true, decayed, w + 16, g + 16, r, a, b);
    w += 32; g += 32;
  }
  while (w < end) {
    sgdAt(false, decayed, w, g, r, a, b);
    w += 4; g += 4;
  }
}

export function sgd(w: usize, g: usize, n: u32, rate: f32, l1: f32, l2: f32): void {
  if (l1 == 0 && l2 == 0) sgdLoop(false, w, g, n, rate, l1, l2);
  else sgdLoop(true, w, g, n, rate, l1, l2);
}

@inline function momentumAt(
  full: bool, decayed: bool, ahead: bool, w: usize, v: usize, g: usize,
  mu: v128, scale: v128, rate: v128, l1: v128, l2: v128,
): void {
  const weights = loadLanes(full, w);
  const gradient = f32x4.mul(scale, decayedGradient(decayed, loadLanes(full, g), weights, l1, l2));
  const velocity = f32x4.add(f32x4.mul(mu, loadLanes(full, v)), gradient);
  storeLanes(full, v, velocity);
  const step = ahead ? f32x4.add(gradient, f32x4.mul(mu, velocity)) : velocity;
  storeLanes(full, w, f32x4.sub(weights, f32x4.mul(rate, step)));
}

@inline function momentumLoop(
  decayed: bool, ahead: bool, w: usize, v: usize, g: usize, n: u32,
  mu: f32, scale: f32, rate: f32, l1: f32, l2: f32,
): void {
  const m = f32x4.splat(mu), s = f32x4.splat(scale), r = f32x4.splat(rate);
  const a = f32x4.splat(l1), b = f32x4.splat(l2);
  const wide = wideEnd(w, n), end = endOf(w, n);
  while (w < wide) {
    momentumAt(true, decayed, ahead, w, v, g, m, s, r, a, b);
    momentumAt(true, decayed, ahead, w + 16, v + 16, g + 16, m, s, r, a, b);
    w += 32; v += 32; g += 32;
  }
  while (w < end) {
    momentumAt(false, decayed, ahead, w, v, g, m, s, r, a, b);
    w += 4; v += 4; g += 4;
  }
}

export function momentum(
  w: usize, v: usize, g: usize, n: u32, mu: f32, scale: f32, rate: f32, l1: f32, l2: f32,
): void {
  if (l1 == 0 && l2 == 0) momentumLoop(false, false, w, v, g, n, mu, scale, rate, l1, l2);
  else momentumLoop(true, false, w, v, g, n, mu, scale, rate, l1, l2);
}

export function nesterov(w: usize, v: usize, g: usize, n: u32, mu: f32, rate: f32, l1: f32, l2: f32): void {
  if (l1 == 0 && l2 == 0) momentumLoop(false, true, w, v, g, n, mu, 1, rate, l1, l2);
  else momentumLoop(true, true, w, v, g, n, mu, 1, rate, l1, l2);
}

@inline function adagradAt(
  full: bool, decayed: bool, w: usize, s: usize, g: usize, rate: v128, epsilon: v128, l1: v128, l2: v128,
): void {
  const weights = loadLanes(full, w);
  const gradient = decayedGradient(decayed, loadLanes(full, g), weights, l1, l2);
  const sum = f32x4.add(loadLanes(full, s), f32x4.mul(gradient, gradient));
  storeLanes(full, s, sum);
  const step = f32x4.div(f32x4.mul(rate, gradient), f32x4.add(f32x4.sqrt(sum), epsilon));
  storeLanes(full, w, f32x4.sub(weights, step));
}

@inline function adagradLoop(
  decayed: bool, w: usize, s: usize, g: usize, n: u32, rate: f32, epsilon: f32, l1: f32, l2: f32,
): void {
  const r = f32x4.splat(rate), e = f32x4.splat(epsilon), a = f32x4.splat(l1), b = f32x4.splat(l2);
  const wide = wideEnd(w, n), end = endOf(w, n);
  while (w < wide) {
    adagradAt(true, decayed, w, s, g, r, e, a, b);
    adagradAt(true, decayed, w + 16, s + 16, g + 16, r, e, a, b);
    w += 32; s += 32; g += 32;
  }
  while (w < end) {
    adagradAt(false, decayed, w, s, g, r, e, a, b);
    w += 4; s += 4; g += 4;
  }
}

export function adagrad(
  w: usize, s: usize, g: usize, n: u32, rate: f32, epsilon: f32, l1: f32, l2: f32,
): void {
  if (l1 == 0 && l2 == 0) adagradLoop(false, w, s, g, n, rate, epsilon, l1, l2);
  else adagradLoop(true, w, s, g, n, rate, epsilon, l1, l2);
}

@inline function rmspropAt(
  full: bool, decayed: bool, moving: bool, w: usize, s: usize, v: usize, g: usize,
  share: v128, mu: v128, rate: v128, epsilon: v128, l1: v128, l2: v128,
): void {
  const weights = loadLanes(full, w);
  const gradient = decayedGradient(decayed, loadLanes(full, g), weights, l1, l2);
  const meanSquare = blend(loadLanes(full, s), f32x4.mul(gradient, gradient), share);
  storeLanes(full, s, meanSquare);
  let step = f32x4.div(gradient, f32x4.add(f32x4.sqrt(meanSquare), epsilon));
  if (moving) {
    step = f32x4.add(f32x4.mul(mu, loadLanes(full, v)), step);
    storeLanes(full, v, step);
  }
  storeLanes(full, w, f32x4.sub(weights, f32x4.mul(rate, step)));
}

@inline function rmspropLoop(
  decayed: bool, moving: bool, w: usize, s: usize, v: usize, g: usize, n: u32,
  share: f32, mu: f32, rate: f32, epsilon: f32, l1: f32, l2: f32,
): void {
  const c = f32x4.splat(share), m = f32x4.splat(mu), r = f32x4.splat(rate), e = f32x4.splat(epsilon);
  const a = f32x4.splat(l1), b = f32x4.splat(l2);
  const wide = wideEnd(w, n), end = endOf(w, n);
  while (w < wide) {
    rmspropAt(true, decayed, moving, w, s, v, g, c, m, r, e, a, b);
    rmspropAt(true, decayed, moving, w + 16, s + 16, v + 16, g + 16, c, m, r, e, a, b);
    w += 32; s += 32; v += 32; g += 32;
  }
  while (w < end) {
    rmspropAt(false, decayed, moving, w, s, v, g, c, m, r, e, a, b);
    w += 4; s += 4; v += 4; g += 4;
  }
}

export function rmsprop(
  w: usize, s: usize, g: usize, n: u32, share: f32, rate: f32, epsilon: f32, l1: f32, l2: f32,
): void {
  if (l1 == 0 && l2 == 0) rmspropLoop(false, false, w, s, 0, g, n, share, 0, rate, epsilon, l1, l2);
  else rmspropLoop(true, false, w, s, 0, g, n, share, 0, rate, epsilon, l1, l2);
}

export function rmspropMomentum(
  w: usize, s: usize, v: usize, g: usize, n: u32,
  share: f32, mu: f32, rate: f32, epsilon: f32, l1: f32, l2: f32,
): void {
  if (l1 == 0 && l2 == 0) rmspropLoop(false, true, w, s, v, g, n, share, mu, rate, epsilon, l1, l2);
  else rmspropLoop(true, true, w, s, v, g, n, share, mu, rate, epsilon, l1, l2);
}

@inline function adamAt(
  full: bool, coupled: bool, decoupled: bool, w: usize, m: usize, s: usize, g: usize,
  share1: v128, share2: v128, rate: v128, correction: v128, epsilon: v128, l1: v128, l2: v128,
): void {
  const weights = loadLanes(full, w);
  const gradient = decayedGradient(coupled, loadLanes(full, g), weights, l1, l2);
  const first = blend(loadLanes(full, m), gradient, share1);
  const second = blend(loadLanes(full, s), f32x4.mul(gradient, gradient), share2);
  storeLanes(full, m, first);
  storeLanes(full, s, second);
  const root = f32x4.add(f32x4.sqrt(f32x4.mul(second, correction)), epsilon);
  let step = f32x4.div(f32x4.mul(rate, first), root);
  if (decoupled) step = f32x4.add(step, decayTerm(weights, l1, l2));
  storeLanes(full, w, f32x4.sub(weights, step));
}

@inline function adamLoop(
  coupled: bool, decoupled: bool, w: usize, m: usize, s: usize, g: usize, n: u32,
  share1: f32, share2: f32, rate: f32, correction: f32, epsilon: f32, l1: f32, l2: f32,
): void {
  const c = f32x4.splat(share1), d = f32x4.splat(share2), r = f32x4.splat(rate);
  const k = f32x4.splat(correction), e = f32x4.splat(epsilon), a = f32x4.splat(l1), b = f32x4.splat(l2);
  const wide = wideEnd(w, n), end = endOf(w, n);
  while (w < wide) {
    adamAt(true, coupled, decoupled, w, m, s, g, c, d, r, k, e, a, b);
    adamAt(true, coupled, decoupled, w + 16, m + 16, s + 16, g + 16, c, d, r, k, e, a, b);
    w += 32; m += 32; s += 32; g += 32;
  }
  while (w < end) {
    adamAt(false, coupled, decoupled, w, m, s, g, c, d, r, k, e, a, b);
    w += 4; m += 4; s += 4; g += 4;
  }
}

export function adam(
  w: usize, m: usize, s: usize, g: usize, n: u32,
  share1: f32, share2: f32, rate: f32, correction: f32, epsilon: f32, l1: f32, l2: f32,
): void {
  if (l1 == 0 && l2 == 0) adamLoop(false, false, w, m, s, g, n, share1, share2, rate, correction, epsilon, l1, l2);
  else adamLoop(true, false, w, m, s, g, n, share1, share2, rate, correction, epsilon, l1, l2);
}

/** l1 and l2 come multiplied by the learning rate. */
export function adamw(
  w: usize, m: usize, s: usize, g: usize, n: u32,
  share1: f32, share2: f32, rate: f32, correction: f32, epsilon: f32, l1: f32, l2: f32,
): void {
  adamLoop(false, true, w, m, s, g, n, share1, share2, rate, correction, epsilon, l1, l2);
}

/** In float64, so that an average of equal numbers is that number. */
export function average(w: usize, x: usize, n: u32, share: f64): void {
  const rest = 1 - share;
  const r = f64x2.splat(rest), a = f64x2.splat(share);
  const wide = w + (<usize>(n & ~1) << 2), end = endOf(w, n);
  while (w < wide) {
    const old = f64x2.promote_low_f32x4(v128.load64_zero(w));
    const next = f64x2.promote_low_f32x4(v128.load64_zero(x));
    const mean = f32x4.demote_f64x2_zero(f64x2.add(f64x2.mul(r, old), f64x2.mul(a, next)));
    v128.store64_lane(w, mean, 0);
    w += 8; x += 8;
  }
  if (w < end) store<f32>(w, <f32>(rest * <f64>load<f32>(w) + share * <f64>load<f32>(x)));
}
