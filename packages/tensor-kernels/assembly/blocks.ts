/* Codecs with blocks of 1,024 elements: int8 (a scale, then bytes) and 1-bit (two means, then signs). */

const blockLength: u32 = 1024;
/** The largest scale s of which 127 s is finite. */
const scaleMax: f32 = reinterpret<f32>(0x7c010203);
/** Below the smallest normal number 1 / scale is infinite: such a block becomes zero. */
const scaleMin: f32 = reinterpret<f32>(0x0080_0000);

/** x, or x - y. */
@inline function difference(full: bool, differs: bool, x: usize, y: usize): v128 {
  const a = full ? v128.load(x) : v128.load32_zero(x);
  if (!differs) return a;
  const b = full ? v128.load(y) : v128.load32_zero(y);
  return f32x4.sub(a, b);
}

@inline function scaleOf(differs: bool, x: usize, y: usize, n: u32): f32 {
  let largest = f32x4.splat(0);
  const wide = x + (<usize>(n & ~3) << 2), end = x + (<usize>n << 2);
  while (x < wide) {
    largest = f32x4.pmax(largest, f32x4.abs(difference(true, differs, x, y)));
    x += 16; y += 16;
  }
  while (x < end) {
    largest = f32x4.pmax(largest, f32x4.abs(difference(false, differs, x, y)));
    x += 4; y += 4;
  }
  const a = max<f32>(f32x4.extract_lane(largest, 0), f32x4.extract_lane(largest, 1));
  const b = max<f32>(f32x4.extract_lane(largest, 2), f32x4.extract_lane(largest, 3));
  const scale = min<f32>(max<f32>(a, b) / 127, scaleMax);
  return scale < scaleMin ? 0 : scale;
}

@inline function quantized(lanes: v128, inverse: v128): v128 {
  return i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.mul(lanes, inverse)));
}

/** Encodes x, or x - y with y <- y + decoded. */
@inline function encodeBlock(differs: bool, x: usize, y: usize, n: u32, target: usize): void {
  const scale = scaleOf(differs, x, y, n);
  store<f32>(target, scale);
  target += 4;
  const inverse = f32x4.splat(scale > 0 ? 1 / scale : 0), s = f32x4.splat(scale);
  const wide = x + (<usize>(n & ~7) << 2), end = x + (<usize>n << 2);
  while (x < wide) {
    const a = quantized(difference(true, differs, x, y), inverse);
    const b = quantized(difference(true, differs, x + 16, y + 16), inverse);
    const shorts = i16x8.narrow_i32x4_s(a, b);
    v128.store64_lane(target, i8x16.narrow_i16x8_s(shorts, shorts), 0);
    if (differs) {
      v128.store(y, f32x4.add(v128.load(y), f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(shorts)), s)));
      v128.store(y + 16, f32x4.add(v128.load(y + 16), f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(shorts)), s)));
    }
    x += 32; y += 32; target += 8;
  }
  while (x < end) {
    const a = quantized(difference(false, differs, x, y), inverse);
    const q = max<i32>(-128, min<i32>(127, i32x4.extract_lane(a, 0)));
    store<i8>(target, <i8>q);
    if (differs) store<f32>(y, load<f32>(y) + <f32>q * scale);
    x += 4; y += 4; target += 1;
  }
}

@inline function encodeBlocks(differs: bool, x: usize, y: usize, n: u32, target: usize): void {
  while (n > 0) {
    const length = min<u32>(n, blockLength);
    encodeBlock(differs, x, y, length, target);
    x += <usize>length << 2; y += <usize>length << 2; target += 4 + length; n -= length;
  }
}

export function encodeInt8(x: usize, n: u32, target: usize): void { encodeBlocks(false, x, 0, n, target); }

export function encodeInt8Difference(x: usize, y: usize, n: u32, target: usize): void {
  encodeBlocks(true, x, y, n, target);
}

/** target <- decoded, or target + factor decoded. */
@inline function put(adds: bool, target: usize, lanes: v128, factor: v128): void {
  v128.store(target, adds ? f32x4.add(v128.load(target), f32x4.mul(factor, lanes)) : lanes);
}

@inline function putOne(adds: bool, target: usize, value: f32, factor: f32): void {
  store<f32>(target, adds ? load<f32>(target) + factor * value : value);
}

@inline function decodeInt8Block(adds: bool, payload: usize, n: u32, target: usize, factor: f32): void {
  const scale = load<f32>(payload);
  payload += 4;
  const s = f32x4.splat(scale), f = f32x4.splat(factor);
  const wide = target + (<usize>(n & ~7) << 2), end = target + (<usize>n << 2);
  while (target < wide) {
    const shorts = i16x8.extend_low_i8x16_s(v128.load64_zero(payload));
    put(adds, target, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_s(shorts)), s), f);
    put(adds, target + 16, f32x4.mul(f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_s(shorts)), s), f);
    target += 32; payload += 8;
  }
  while (target < end) {
    putOne(adds, target, <f32>load<i8>(payload) * scale, factor);
    target += 4; payload += 1;
  }
}

@inline function decodeInt8Blocks(adds: bool, payload: usize, n: u32, target: usize, factor: f32): void {
  while (n > 0) {
    const length = min<u32>(n, blockLength);
    decodeInt8Block(adds, payload, length, target, factor);
    target += <usize>length << 2; payload += 4 + length; n -= length;
  }
}

export function decodeInt8(payload: usize, n: u32, target: usize): void {
  decodeInt8Blocks(false, payload, n, target, 0);
}

export function addInt8(payload: usize, n: u32, target: usize, factor: f32): void {
  decodeInt8Blocks(true, payload, n, target, factor);
}

@inline function high(lanes: v128): v128 {
  return i8x16.shuffle(lanes, lanes, 8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15);
}

@inline function laneSum(pairs: v128): f64 {
  return f64x2.extract_lane(pairs, 0) + f64x2.extract_lane(pairs, 1);
}

/** Signs of up to 8 elements; the sums of both kinds go to four float64 lanes each, element i to lane i mod 4. */
@inline function encodeOneBitBlock(x: usize, n: u32, target: usize): void {
  const zero = f32x4.splat(0);
  let bits = target + 8;
  let a = f64x2.splat(0), b = a, c = a, d = a;
  let negatives: u32 = 0;
  let negativeTail: f64 = 0, positiveTail: f64 = 0;
  const wide = x + (<usize>(n & ~7) << 2), end = x + (<usize>n << 2);
  while (x < wide) {
    const p = v128.load(x), q = v128.load(x + 16);
    const pm = f32x4.lt(p, zero), qm = f32x4.lt(q, zero);
    const byte = i32x4.bitmask(pm) | (i32x4.bitmask(qm) << 4);
    store<u8>(bits, <u8>byte);
    negatives += popcnt(byte);
    const pn = v128.and(p, pm), qn = v128.and(q, qm), pp = v128.andnot(p, pm), qp = v128.andnot(q, qm);
    a = f64x2.add(f64x2.add(a, f64x2.promote_low_f32x4(pn)), f64x2.promote_low_f32x4(qn));
    b = f64x2.add(f64x2.add(b, f64x2.promote_low_f32x4(high(pn))), f64x2.promote_low_f32x4(high(qn)));
    c = f64x2.add(f64x2.add(c, f64x2.promote_low_f32x4(pp)), f64x2.promote_low_f32x4(qp));
    d = f64x2.add(f64x2.add(d, f64x2.promote_low_f32x4(high(pp))), f64x2.promote_low_f32x4(high(qp)));
    x += 32; bits += 1;
  }
  let byte: u32 = 0, position: u32 = 0;
  while (x < end) {
    const value = load<f32>(x);
    if (value < 0) {
      byte |= 1 << position;
      negatives += 1;
      negativeTail += <f64>value;
    } else positiveTail += <f64>value;
    position += 1;
    x += 4;
  }
  if (position > 0) store<u8>(bits, <u8>byte);
  const below = laneSum(f64x2.add(a, b)) + negativeTail, above = laneSum(f64x2.add(c, d)) + positiveTail;
  store<f32>(target, negatives > 0 ? <f32>(below / <f64>negatives) : 0);
  store<f32>(target + 4, n > negatives ? <f32>(above / <f64>(n - negatives)) : 0);
}

export function encodeOneBit(x: usize, n: u32, target: usize): void {
  while (n > 0) {
    const length = min<u32>(n, blockLength);
    encodeOneBitBlock(x, length, target);
    x += <usize>length << 2; target += 8 + ((length + 7) >> 3); n -= length;
  }
}

@inline function decodeOneBitBlock(adds: bool, payload: usize, n: u32, target: usize, factor: f32): void {
  const below = load<f32>(payload), above = load<f32>(payload + 4);
  payload += 8;
  const l = f32x4.splat(below), h = f32x4.splat(above), f = f32x4.splat(factor);
  const low = i32x4(1, 2, 4, 8), top = i32x4(16, 32, 64, 128);
  const wide = target + (<usize>(n & ~7) << 2), end = target + (<usize>n << 2);
  while (target < wide) {
    const byte = i32x4.splat(load<u8>(payload));
    put(adds, target, v128.bitselect(l, h, i32x4.eq(v128.and(byte, low), low)), f);
    put(adds, target + 16, v128.bitselect(l, h, i32x4.eq(v128.and(byte, top), top)), f);
    target += 32; payload += 1;
  }
  let position: u32 = 0;
  while (target < end) {
    putOne(adds, target, ((<u32>load<u8>(payload) >> position) & 1) == 1 ? below : above, factor);
    position += 1; target += 4;
  }
}

@inline function decodeOneBitBlocks(adds: bool, payload: usize, n: u32, target: usize, factor: f32): void {
  while (n > 0) {
    const length = min<u32>(n, blockLength);
    decodeOneBitBlock(adds, payload, length, target, factor);
    target += <usize>length << 2; payload += 8 + ((length + 7) >> 3); n -= length;
  }
}

export function decodeOneBit(payload: usize, n: u32, target: usize): void {
  decodeOneBitBlocks(false, payload, n, target, 0);
}

export function addOneBit(payload: usize, n: u32, target: usize, factor: f32): void {
  decodeOneBitBlocks(true, payload, n, target, factor);
}
