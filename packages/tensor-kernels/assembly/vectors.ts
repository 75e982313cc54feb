import { blend, endOf, loadLanes, storeLanes, wideEnd } from "./lanes";

@inline function infinite(lanes: v128): v128 {
  const exponent = i32x4.splat(0x7f80_0000);
  return i32x4.eq(v128.and(lanes, exponent), exponent);
}

export function isFiniteFloats(x: usize, n: u32): bool {
  const wide = wideEnd(x, n), end = endOf(x, n);
  let found = i32x4.splat(0);
  while (x < wide) {
    found = v128.or(found, v128.or(infinite(v128.load(x)), infinite(v128.load(x + 16))));
    x += 32;
  }
  while (x < end) {
    found = v128.or(found, infinite(v128.load32_zero(x)));
    x += 4;
  }
  return !v128.any_true(found);
}

/** Whether none of n 16-bit floats has every bit of its exponent set. */
export function isFiniteHalves(x: usize, n: u32, exponent: u32): bool {
  const e = i16x8.splat(<i16>exponent);
  const wide = x + (<usize>(n & ~7) << 1), end = x + (<usize>n << 1);
  let found = i32x4.splat(0);
  while (x < wide) {
    found = v128.or(found, i16x8.eq(v128.and(v128.load(x), e), e));
    x += 16;
  }
  let tail = false;
  while (x < end) {
    if ((<u32>load<u16>(x) & exponent) == exponent) tail = true;
    x += 2;
  }
  return !tail && !v128.any_true(found);
}

@inline function high(lanes: v128): v128 {
  return i8x16.shuffle(lanes, lanes, 8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15);
}

@inline function squares(lanes: v128): v128 {
  const wide = f64x2.promote_low_f32x4(lanes);
  return f64x2.mul(wide, wide);
}

/** Eight float64 sums: element i goes to sum i mod 8. The reference adds in the same order. */
export function sumOfSquares(x: usize, n: u32): f64 {
  let a = f64x2.splat(0), b = a, c = a, d = a;
  const wide = wideEnd(x, n), end = endOf(x, n);
  while (x < wide) {
    const p = v128.load(x), q = v128.load(x + 16);
    a = f64x2.add(a, squares(p)); b = f64x2.add(b, squares(high(p)));
    c = f64x2.add(c, squares(q)); d = f64x2.add(d, squares(high(q)));
    x += 32;
  }
  let tail: f64 = 0;
  while (x < end) {
    const value = <f64>load<f32>(x);
    tail += value * value;
    x += 4;
  }
  const sum = f64x2.add(f64x2.add(a, b), f64x2.add(c, d));
  return f64x2.extract_lane(sum, 0) + f64x2.extract_lane(sum, 1) + tail;
}

/** The sum of |x - y|, each difference in float32, added like sumOfSquares. */
export function sumOfDifferences(x: usize, y: usize, n: u32): f64 {
  let a = f64x2.splat(0), b = a, c = a, d = a;
  const wide = wideEnd(x, n), end = endOf(x, n);
  while (x < wide) {
    const p = f32x4.abs(f32x4.sub(v128.load(x), v128.load(y)));
    const q = f32x4.abs(f32x4.sub(v128.load(x + 16), v128.load(y + 16)));
    a = f64x2.add(a, f64x2.promote_low_f32x4(p)); b = f64x2.add(b, f64x2.promote_low_f32x4(high(p)));
    c = f64x2.add(c, f64x2.promote_low_f32x4(q)); d = f64x2.add(d, f64x2.promote_low_f32x4(high(q)));
    x += 32; y += 32;
  }
  let tail: f64 = 0;
  while (x < end) {
    tail += <f64>abs<f32>(load<f32>(x) - load<f32>(y));
    x += 4; y += 4;
  }
  const sum = f64x2.add(f64x2.add(a, b), f64x2.add(c, d));
  return f64x2.extract_lane(sum, 0) + f64x2.extract_lane(sum, 1) + tail;
}

@inline function scaleAt(full: bool, x: usize, factor: v128): void {
  storeLanes(full, x, f32x4.mul(loadLanes(full, x), factor));
}

export function scale(x: usize, n: u32, factor: f32): void {
  const f = f32x4.splat(factor);
  const wide = wideEnd(x, n), end = endOf(x, n);
  while (x < wide) {
    scaleAt(true, x, f);
    scaleAt(true, x + 16, f);
    x += 32;
  }
  while (x < end) {
    scaleAt(false, x, f);
    x += 4;
  }
}

/** target <- x + factor y */
@inline function sumAt(full: bool, target: usize, x: usize, y: usize, factor: v128): void {
  storeLanes(full, target, f32x4.add(loadLanes(full, x), f32x4.mul(factor, loadLanes(full, y))));
}

export function triad(target: usize, x: usize, y: usize, n: u32, factor: f32): void {
  const f = f32x4.splat(factor);
  const wide = wideEnd(target, n), end = endOf(target, n);
  while (target < wide) {
    sumAt(true, target, x, y, f);
    sumAt(true, target + 16, x + 16, y + 16, f);
    target += 32; x += 32; y += 32;
  }
  while (target < end) {
    sumAt(false, target, x, y, f);
    target += 4; x += 4; y += 4;
  }
}

@inline function clipAt(full: bool, x: usize, low: v128, high: v128, count: v128): v128 {
  const lanes = loadLanes(full, x);
  storeLanes(full, x, f32x4.pmax(f32x4.pmin(lanes, high), low));
  return i32x4.sub(count, f32x4.gt(f32x4.abs(lanes), high));
}

/** @returns how many were clipped */
export function clipValue(x: usize, n: u32, bound: f32): u32 {
  const low = f32x4.splat(-bound), high = f32x4.splat(bound);
  let count = i32x4.splat(0);
  const wide = wideEnd(x, n), end = endOf(x, n);
  while (x < wide) {
    count = clipAt(true, x, low, high, count);
    count = clipAt(true, x + 16, low, high, count);
    x += 32;
  }
  while (x < end) {
    count = clipAt(false, x, low, high, count);
    x += 4;
  }
  return i32x4.extract_lane(count, 0) + i32x4.extract_lane(count, 1)
    + i32x4.extract_lane(count, 2) + i32x4.extract_lane(count, 3);
}

@inline function largeAt(x: usize, bound: v128): v128 {
  return f32x4.ge(f32x4.abs(v128.load(x)), bound);
}

/** @returns the address of the first element from x with |element| >= bound, or end */
export function nextAtLeast(x: usize, end: usize, bound: f32): usize {
  const b = f32x4.splat(bound);
  while (x + 32 <= end) {
    if (v128.any_true(v128.or(largeAt(x, b), largeAt(x + 16, b)))) break;
    x += 32;
  }
  while (x < end && !(abs<f32>(load<f32>(x)) >= bound)) x += 4;
  return x;
}

@inline function constantAt(full: bool, g: usize, w: usize, p: usize, lambda: v128): void {
  const gradient = loadLanes(full, g);
  const gap = f32x4.sub(loadLanes(full, w), loadLanes(full, p));
  storeLanes(full, g, f32x4.add(gradient, f32x4.mul(f32x4.mul(lambda, f32x4.mul(gradient, gradient)), gap)));
}

export function compensateConstant(g: usize, w: usize, p: usize, n: u32, lambda: f32): void {
  const l = f32x4.splat(lambda);
  const wide = wideEnd(g, n), end = endOf(g, n);
  while (g < wide) {
    constantAt(true, g, w, p, l);
    constantAt(true, g + 16, w + 16, p + 16, l);
    g += 32; w += 32; p += 32;
  }
  while (g < end) {
    constantAt(false, g, w, p, l);
    g += 4; w += 4; p += 4;
  }
}

@inline function adaptiveAt(full: bool, g: usize, w: usize, p: usize, s: usize, lambda: v128, share: v128): void {
  const gradient = loadLanes(full, g);
  const square = f32x4.mul(gradient, gradient);
  const meanSquare = blend(loadLanes(full, s), square, share);
  storeLanes(full, s, meanSquare);
  const root = f32x4.sqrt(f32x4.add(meanSquare, f32x4.splat(1e-7)));
  const gap = f32x4.sub(loadLanes(full, w), loadLanes(full, p));
  storeLanes(full, g, f32x4.add(gradient, f32x4.mul(f32x4.mul(f32x4.div(lambda, root), square), gap)));
}

export function compensateAdaptive(
  g: usize, w: usize, p: usize, s: usize, n: u32, lambda: f32, share: f32,
): void {
  const l = f32x4.splat(lambda), c = f32x4.splat(share);
  const wide = wideEnd(g, n), end = endOf(g, n);
  while (g < wide) {
    adaptiveAt(true, g, w, p, s, l, c);
    adaptiveAt(true, g + 16, w + 16, p + 16, s + 16, l, c);
    g += 32; w += 32; p += 32; s += 32;
  }
  while (g < end) {
    adaptiveAt(false, g, w, p, s, l, c);
    g += 4; w += 4; p += 4; s += 4;
  }
}

@inline function dampAt(full: bool, g: usize, w: usize, p: usize, step: v128): void {
  const gap = f32x4.div(f32x4.abs(f32x4.sub(loadLanes(full, w), loadLanes(full, p))), step);
  storeLanes(full, g, f32x4.div(loadLanes(full, g), f32x4.add(f32x4.splat(1), gap)));
}

export function dampGap(g: usize, w: usize, p: usize, n: u32, averageStep: f32): void {
  const s = f32x4.splat(averageStep);
  const wide = wideEnd(g, n), end = endOf(g, n);
  while (g < wide) {
    dampAt(true, g, w, p, s);
    dampAt(true, g + 16, w + 16, p + 16, s);
    g += 32; w += 32; p += 32;
  }
  while (g < end) {
    dampAt(false, g, w, p, s);
    g += 4; w += 4; p += 4;
  }
}

@inline function danaAt(full: bool, g: usize, v: usize, gamma: v128): void {
  const gradient = loadLanes(full, g);
  const velocity = f32x4.add(f32x4.mul(gamma, loadLanes(full, v)), gradient);
  storeLanes(full, v, velocity);
  storeLanes(full, g, f32x4.add(f32x4.mul(gamma, velocity), gradient));
}

export function dana(g: usize, v: usize, n: u32, gamma: f32): void {
  const c = f32x4.splat(gamma);
  const wide = wideEnd(g, n), end = endOf(g, n);
  while (g < wide) {
    danaAt(true, g, v, c);
    danaAt(true, g + 16, v + 16, c);
    g += 32; v += 32;
  }
  while (g < end) {
    danaAt(false, g, v, c);
    g += 4; v += 4;
  }
}
