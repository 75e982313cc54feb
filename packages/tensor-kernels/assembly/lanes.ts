/*
 * Four float32 lanes at a time, or, at the tail of an array, one lane with zeros beside it: both run the same
 * instructions, so that an element's result does not depend on where it stands. `full` is constant where it is
 * used; what it excludes is not compiled.
 */

@inline export function loadLanes(full: bool, at: usize): v128 {
  return full ? v128.load(at) : v128.load32_zero(at);
}

@inline export function storeLanes(full: bool, at: usize, lanes: v128): void {
  if (full) v128.store(at, lanes);
  else v128.store32_lane(at, lanes, 0);
}

/** l1 sign(w) + l2 w, with sign(0) = 0. */
@inline export function decayTerm(w: v128, l1: v128, l2: v128): v128 {
  const sign = v128.and(w, i32x4.splat(0x8000_0000));
  const notZero = f32x4.ne(w, f32x4.splat(0));
  return f32x4.add(f32x4.mul(l2, w), v128.and(v128.or(sign, l1), notZero));
}

/** g + l1 sign(w) + l2 w, or g. */
@inline export function decayedGradient(decayed: bool, g: v128, w: v128, l1: v128, l2: v128): v128 {
  return decayed ? f32x4.add(g, decayTerm(w, l1, l2)) : g;
}

/** (1 - share) x + share y, with x - share x for the first product: shares near 0 stay exact. */
@inline export function blend(x: v128, y: v128, share: v128): v128 {
  return f32x4.add(f32x4.sub(x, f32x4.mul(share, x)), f32x4.mul(share, y));
}

/** Elements that come in whole pairs of vectors. */
@inline export function wideEnd(begin: usize, n: u32): usize {
  return begin + (<usize>(n & ~7) << 2);
}

@inline export function endOf(begin: usize, n: u32): usize {
  return begin + (<usize>n << 2);
}
