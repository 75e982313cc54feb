import { DownpourError } from "@downpour/errors";
import crc32c from "crc-32/crc32c.js";
import { dataFileBytes, openDataFile, unreadableError } from "./data-files.ts";

/** uint64 length and its checksum. */
const headerBytes = 12;
const footerBytes = 4;
/** What a record takes beside its data. */
export const frameBytes = headerBytes + footerBytes;
/** Longest record that is read: an image and its label are far smaller, and a record is held in memory. */
const recordBytesMax = 256 * 2 ** 20;
const defaultChunkBytes = 4 * 2 ** 20;

/** Where a record is, for errors. */
export interface RecordPlace {
  readonly path: string;
  /** Counts from 0 in each file. */
  readonly record: number;
  /** Of the record's first byte in the file. */
  readonly offset: number;
}

export interface TfrecordFrame {
  readonly place: RecordPlace;
  /** The record's data; overwritten when the next frame is asked for. */
  readonly data: Buffer;
  /** Of the data's first byte in the file. */
  readonly dataOffset: number;
  /** Masked CRC-32C of the data, as stored and found right. */
  readonly checksum: number;
}

export interface ReadFramesOptions {
  /** Bytes asked for at a time. Default 4 MiB. */
  readonly chunkBytes?: number;
  /** Called after each chunk. */
  readonly onRead?: ((doneBytes: number, totalBytes: number) => void) | undefined;
}

/**
 * Records of a TFRecord file, in order, with both checksums verified: uint64 length, masked CRC-32C of the length,
 * data, masked CRC-32C of the data, all little-endian (https://www.tensorflow.org/tutorials/load_data/tfrecord).
 * Holds one chunk, or one record if that is longer.
 *
 * @throws DownpourError `corruptData` for a wrong checksum or a file that ends inside a record; `resourceExhausted`
 * for a record above 256 MiB; `notFound`, `environment` for a file that cannot be read
 */
export async function* readFrames(
  path: string,
  { chunkBytes = defaultChunkBytes, onRead }: ReadFramesOptions = {},
): AsyncGenerator<TfrecordFrame, void, void> {
  const totalBytes = await dataFileBytes(path);
  const handle = await openDataFile(path);
  let buffer = Buffer.allocUnsafe(chunkBytes);
  /** Of what is in the buffer and not yet used. */
  let begin = 0;
  let end = 0;
  let offset = 0;

  /** Reads on until so many bytes are in the buffer, or the file ends. */
  async function fill(bytes: number): Promise<boolean> {
    if (end - begin >= bytes) return true;
    const target = buffer.length >= bytes ? buffer : Buffer.allocUnsafe(bytes);
    buffer.copy(target, 0, begin, end);
    buffer = target;
    end -= begin;
    begin = 0;
    while (end < bytes) {
      const { bytesRead } = await handle
        .read(buffer, end, buffer.length - end, offset + end)
        .catch((cause: unknown) => {
          throw unreadableError(path, cause);
        });
      if (bytesRead === 0) return false;
      end += bytesRead;
      onRead?.(offset + end, totalBytes);
    }
    return true;
  }

  try {
    for (let record = 0; ; record++) {
      const place = { path, record, offset };
      if (!(await fill(headerBytes))) {
        if (end === begin) return;
        throw truncated(place, end - begin, headerBytes, "its header");
      }
      const length = parseHeader(buffer.subarray(begin, begin + headerBytes), place);
      const recordBytes = headerBytes + length + footerBytes;
      if (offset + recordBytes > totalBytes || !(await fill(recordBytes))) {
        throw truncated(place, totalBytes - offset, recordBytes, `${length} bytes of data and their frame`);
      }
      const data = buffer.subarray(begin + headerBytes, begin + headerBytes + length);
      const checksum = buffer.readUInt32LE(begin + headerBytes + length);
      requireChecksum(data, checksum, place);
      yield { place, data, dataOffset: offset + headerBytes, checksum };
      begin += recordBytes;
      offset += recordBytes;
    }
  } finally {
    await handle.close();
  }
}

/**
 * The CRC-32C of the format, masked so that data which hold checksums of their own do no harm:
 * ((crc >> 15) | (crc << 17)) + 0xa282ead8, unsigned 32 bits.
 */
export function maskedCrc32c(data: Uint8Array): number {
  const crc = crc32c.buf(data);
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

/** The error of a record whose content is not what it must be. */
export function recordError(
  place: RecordPlace,
  problem: string,
  nextStep: string,
  {
    code = "corruptData" as const,
    cause,
  }: { code?: "corruptData" | "resourceExhausted"; cause?: unknown } = {},
): DownpourError {
  return new DownpourError(code, `${nameOfRecord(place)} ${problem}: ${nextStep}`, {
    facts: { ...place },
    cause,
  });
}

function nameOfRecord({ path, record, offset }: RecordPlace): string {
  return `${path}: record ${record}, at byte ${offset},`;
}

/** @returns the length of the data in bytes */
function parseHeader(header: Buffer, place: RecordPlace): number {
  const length = header.readBigUInt64LE(0);
  const stored = header.readUInt32LE(8);
  const expected = maskedCrc32c(header.subarray(0, 8));
  if (stored !== expected) {
    const problem = `has the length ${length} with the checksum ${hex(stored)}, expected ${hex(expected)}`;
    if (place.record > 0) throw recordError(place, problem, replaceIt);
    const isGzip = header[0] === 0x1f && header[1] === 0x8b;
    throw recordError(
      place,
      problem,
      isGzip
        ? "the file is compressed with gzip, unpack it first"
        : "this is no TFRecord file, or its first record is damaged; check the path, or write the file anew",
    );
  }
  if (length <= recordBytesMax) return Number(length);
  throw recordError(
    place,
    `has ${length} bytes, more than the ${recordBytesMax} that are read`,
    "write one image a record",
    { code: "resourceExhausted" },
  );
}

function requireChecksum(data: Buffer, stored: number, place: RecordPlace): void {
  const expected = maskedCrc32c(data);
  if (stored === expected) return;
  const problem = `has ${data.length} bytes of data with the checksum ${hex(stored)}, expected ${hex(expected)}`;
  throw recordError(place, problem, replaceIt);
}

function truncated(place: RecordPlace, leftBytes: number, wantedBytes: number, what: string): DownpourError {
  const nextStep =
    place.record === 0 && leftBytes < frameBytes
      ? "this is no TFRecord file, or it was cut off; check the path, or write the file anew"
      : "the file was cut off, write or copy it anew";
  return recordError(place, `needs ${wantedBytes} bytes for ${what}, but ${leftBytes} are left`, nextStep);
}

function hex(value: number): string {
  return `0x${value.toString(16).padStart(8, "0")}`;
}

const replaceIt = "the file is damaged, write or copy it anew";
