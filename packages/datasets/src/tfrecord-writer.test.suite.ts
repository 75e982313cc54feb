/* A writer of TFRecord and tf.Example that shares nothing with the readers: bitwise checksums, bytes by hand. */

export type TestFeature =
  | { readonly bytes: readonly Uint8Array[] }
  | { readonly floats: readonly number[] }
  | { readonly int64s: readonly (number | bigint)[] };

/** CRC-32C (reflected polynomial 0x82f63b78), bit by bit. */
function crc32cBitwise(data: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of data) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return (crc ^ 0xffffffff) >>> 0;
}

function masked(data: Uint8Array): Buffer {
  const crc = BigInt(crc32cBitwise(data));
  const rotated = ((crc >> 15n) | (crc << 17n)) & 0xffffffffn;
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(Number((rotated + 0xa282ead8n) & 0xffffffffn));
  return bytes;
}

/** One record: length, its checksum, data, their checksum. */
export function frame(data: Uint8Array, length = BigInt(data.length)): Buffer {
  const header = Buffer.alloc(8);
  header.writeBigUInt64LE(length);
  return Buffer.concat([header, masked(header), data, masked(data)]);
}

function varint(value: bigint): Buffer {
  const bytes: number[] = [];
  let rest = BigInt.asUintN(64, value);
  for (; rest >= 0x80n; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
  return Buffer.from([...bytes, Number(rest)]);
}

/** A field of wire type 2. */
function field(number: number, content: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from([(number << 3) | 2]), varint(BigInt(content.length)), content]);
}

function feature(value: TestFeature): Buffer {
  if ("bytes" in value) return field(1, Buffer.concat(value.bytes.map((one) => field(1, one))));
  if ("floats" in value) {
    const packed = Buffer.alloc(4 * value.floats.length);
    for (const [i, one] of value.floats.entries()) packed.writeFloatLE(one, 4 * i);
    return field(2, field(1, packed));
  }
  return field(3, field(1, Buffer.concat(value.int64s.map((one) => varint(BigInt(one))))));
}

/** A tf.Example. */
export function example(features: Readonly<Record<string, TestFeature>>): Buffer {
  const entries = Object.entries(features).map(([key, value]) =>
    field(1, Buffer.concat([field(1, Buffer.from(key)), field(2, feature(value))])),
  );
  return field(1, Buffer.concat(entries));
}
