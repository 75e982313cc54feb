import { DownpourError } from "@downpour/errors";

/** Contents of an IDX file of bytes. */
export interface IdxArray {
  readonly dimensions: readonly number[];
  /** Row-major; a view of the file's buffer. */
  readonly values: Uint8Array;
}

const unsignedByteType = 0x08;

/**
 * Parses an IDX file of unsigned bytes: two zero bytes, the type 0x08, the number of dimensions, each dimension as
 * a big-endian uint32, then the values (LeCun, Cortes and Burges, "The MNIST database", file formats).
 *
 * @param path named in errors
 * @param expectedDimensions what the file must hold; null stands for any size
 * @throws DownpourError `corruptData` for another magic number, other dimensions or another length
 */
export function parseIdx(
  content: Uint8Array,
  path: string,
  expectedDimensions: readonly (number | null)[],
): IdxArray {
  const rank = expectedDimensions.length;
  const headerBytes = 4 + 4 * rank;
  if (content.length < headerBytes) {
    throw corrupt(path, `${content.length} bytes, fewer than the ${headerBytes} of its header`);
  }
  const view = new DataView(content.buffer, content.byteOffset, content.byteLength);
  const magic = view.getUint32(0);
  const expectedMagic = (unsignedByteType << 8) | rank;
  if (magic !== expectedMagic) {
    throw corrupt(path, `the magic number ${hex(magic)}, expected ${hex(expectedMagic)}`);
  }
  const dimensions = expectedDimensions.map((_, i) => view.getUint32(4 + 4 * i));
  if (expectedDimensions.some((expected, i) => expected !== null && expected !== dimensions[i])) {
    const expected = expectedDimensions.map((size) => size ?? "any").join(" x ");
    throw corrupt(path, `dimensions ${dimensions.join(" x ")}, expected ${expected}`);
  }
  const expectedBytes = headerBytes + dimensions.reduce((product, size) => product * size, 1);
  if (content.length !== expectedBytes) {
    throw corrupt(path, `${content.length} bytes, but its dimensions ask for ${expectedBytes}`);
  }
  return {
    dimensions,
    values: new Uint8Array(content.buffer, content.byteOffset + headerBytes, expectedBytes - headerBytes),
  };
}

function corrupt(path: string, what: string): DownpourError {
  return new DownpourError(
    "corruptData",
    `${path} is no valid IDX file: it has ${what}. Replace it with the published file`,
    { facts: { path } },
  );
}

function hex(value: number): string {
  return `0x${value.toString(16).padStart(8, "0")}`;
}
