/* 16-bit floats. Round to nearest, ties to even; beyond the largest finite value: that value. */

@inline function toFloat16(lanes: v128): v128 {
  const magnitude = v128.and(lanes, i32x4.splat(0x7fff_ffff));
  const sign = v128.and(i32x4.shr_u(lanes, 16), i32x4.splat(0x8000));
  const odd = v128.and(i32x4.shr_u(magnitude, 13), i32x4.splat(1));
  // Exponent from bias 127 to 15, half a unit less one, and one more for an odd number: ties go to even.
  const normal = i32x4.shr_u(i32x4.add(i32x4.add(magnitude, i32x4.splat(0xc800_0fff)), odd), 13);
  // 0.5 has the unit of the subnormals, 2^-24: the sum is rounded to them.
  const subnormal = i32x4.sub(f32x4.add(magnitude, f32x4.splat(0.5)), i32x4.splat(0x3f00_0000));
  const isSubnormal = i32x4.lt_u(magnitude, i32x4.splat(0x3880_0000));
  const rounded = v128.bitselect(subnormal, normal, isSubnormal);
  return v128.or(sign, i32x4.min_u(rounded, i32x4.splat(0x7bff)));
}

@inline function fromFloat16(halves: v128): v128 {
  const sign = i32x4.shl(v128.and(halves, i32x4.splat(0x8000)), 16);
  const magnitude = i32x4.shl(v128.and(halves, i32x4.splat(0x7fff)), 13);
  const normal = i32x4.add(magnitude, i32x4.splat(0x3800_0000));
  const smallest = i32x4.splat(0x3880_0000);
  const subnormal = f32x4.sub(i32x4.add(magnitude, smallest), smallest);
  const isSubnormal = i32x4.lt_u(magnitude, i32x4.splat(0x0080_0000));
  return v128.or(sign, v128.bitselect(subnormal, normal, isSubnormal));
}

@inline function toBfloat16(lanes: v128): v128 {
  const magnitude = v128.and(lanes, i32x4.splat(0x7fff_ffff));
  const sign = v128.and(i32x4.shr_u(lanes, 16), i32x4.splat(0x8000));
  const odd = v128.and(i32x4.shr_u(magnitude, 16), i32x4.splat(1));
  const rounded = i32x4.shr_u(i32x4.add(i32x4.add(magnitude, i32x4.splat(0x7fff)), odd), 16);
  return v128.or(sign, i32x4.min_u(rounded, i32x4.splat(0x7f7f)));
}

@inline function encodeLanes(brain: bool, lanes: v128): v128 {
  return brain ? toBfloat16(lanes) : toFloat16(lanes);
}

@inline function decodeLanes(brain: bool, halves: v128): v128 {
  return brain ? i32x4.shl(halves, 16) : fromFloat16(halves);
}

@inline function encode(brain: bool, x: usize, n: u32, target: usize): void {
  const wide = x + (<usize>(n & ~7) << 2), end = x + (<usize>n << 2);
  while (x < wide) {
    const a = encodeLanes(brain, v128.load(x)), b = encodeLanes(brain, v128.load(x + 16));
    v128.store(target, i16x8.narrow_i32x4_u(a, b));
    x += 32; target += 16;
  }
  while (x < end) {
    v128.store16_lane(target, encodeLanes(brain, v128.load32_zero(x)), 0);
    x += 4; target += 2;
  }
}

@inline function decode(brain: bool, payload: usize, n: u32, x: usize): void {
  const wide = x + (<usize>(n & ~7) << 2), end = x + (<usize>n << 2);
  while (x < wide) {
    const halves = v128.load(payload);
    v128.store(x, decodeLanes(brain, i32x4.extend_low_i16x8_u(halves)));
    v128.store(x + 16, decodeLanes(brain, i32x4.extend_high_i16x8_u(halves)));
    x += 32; payload += 16;
  }
  while (x < end) {
    v128.store32_lane(x, decodeLanes(brain, i32x4.splat(load<u16>(payload))), 0);
    x += 4; payload += 2;
  }
}

export function encodeFloat16(x: usize, n: u32, target: usize): void { encode(false, x, n, target); }
export function decodeFloat16(payload: usize, n: u32, x: usize): void { decode(false, payload, n, x); }
export function encodeBfloat16(x: usize, n: u32, target: usize): void { encode(true, x, n, target); }
export function decodeBfloat16(payload: usize, n: u32, x: usize): void { decode(true, payload, n, x); }
