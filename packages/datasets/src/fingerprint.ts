import { createHash, type Hash } from "node:crypto";
import { endianness } from "node:os";
import { DownpourError } from "@downpour/errors";
import type { Carving } from "./carve.ts";
import type { Dataset, Split } from "./dataset.ts";

/**
 * Hex sha-256 of a data set: a line of JSON with its name, shape, class names and counts, then the indices of the
 * carving (uint32, little-endian), then of train, validation and test the images and labels (uint16 labels
 * little-endian). Encoded images, which are not read here, stand in by the identity of their source.
 *
 * @param identity of a source with encoded images
 */
export function fingerprintOf(
  dataset: Omit<Dataset, "fingerprint" | "normalization">,
  carving: Carving,
  identity?: string,
): string {
  const { name, height, width, channels, classNames, train, validation, test } = dataset;
  const counts = [train.exampleCount, validation.exampleCount, test.exampleCount];
  const hash = createHash("sha256");
  hash.update(`${JSON.stringify({ name, height, width, channels, classNames, counts })}\n`);
  hash.update(littleEndian(carving.train)).update(littleEndian(carving.validation));
  for (const split of [train, validation, test]) {
    updateWithPixels(hash, split, identity);
    hash.update(littleEndian(split.labels));
  }
  return hash.digest("hex");
}

function updateWithPixels(hash: Hash, { pixels }: Split, identity: string | undefined): void {
  if (pixels.kind === "memory") hash.update(pixels.bytes);
  else if (identity !== undefined) hash.update(`${identity}\n`);
  else
    throw new DownpourError("internal", "a source with encoded images has no identity for the fingerprint");
}

function littleEndian(values: Uint8Array | Uint16Array | Uint32Array): Uint8Array {
  const bytes = Buffer.from(values.buffer, values.byteOffset, values.byteLength);
  if (values.BYTES_PER_ELEMENT === 1 || endianness() === "LE") return bytes;
  const copy = Buffer.from(bytes);
  return values.BYTES_PER_ELEMENT === 2 ? copy.swap16() : copy.swap32();
}
