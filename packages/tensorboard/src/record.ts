import crc32c from "crc-32/crc32c.js";

/** Checksums are stored rotated and shifted, so that a record may hold records. */
const maskDelta = 0xa282_ead8;

function maskedChecksum(data: Uint8Array): number {
  const checksum = crc32c.buf(data) >>> 0;
  return (((checksum >>> 15) | (checksum << 17)) + maskDelta) >>> 0;
}

/**
 * A record of a TFRecord file: uint64 length, masked CRC-32C of the length, data, masked CRC-32C of the data, all
 * little-endian (https://www.tensorflow.org/tutorials/load_data/tfrecord).
 */
export function frameRecord(data: Uint8Array): Uint8Array {
  const record = Buffer.alloc(8 + 4 + data.length + 4);
  record.writeBigUInt64LE(BigInt(data.length), 0);
  record.writeUInt32LE(maskedChecksum(record.subarray(0, 8)), 8);
  record.set(data, 12);
  record.writeUInt32LE(maskedChecksum(data), 12 + data.length);
  return record;
}
