import { DownpourError, messageOf } from "@downpour/errors";

/** One float32 tensor of a safetensors file. */
export interface NamedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** One float32 tensor whose elements lie in several arrays, one after the other. */
export interface ScatteredTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly runs: readonly Float32Array[];
}

/**
 * Encodes tensors in the safetensors format: 8 bytes of header length (little-endian), a JSON header padded
 * with spaces to a multiple of 8, then the tensors' bytes in order. Source: the format's specification,
 * https://huggingface.co/docs/safetensors.
 */
export function encodeSafetensors(
  tensors: readonly NamedTensor[],
  metadata: Readonly<Record<string, string>>,
): Uint8Array {
  const scattered = tensors.map(({ name, shape, data }) => ({ name, shape, runs: [data] }));
  const chunks = safetensorsChunks(scattered, metadata);
  const file = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.byteLength, 0));
  let at = 0;
  for (const chunk of chunks) {
    file.set(chunk, at);
    at += chunk.byteLength;
  }
  return file;
}

/**
 * The bytes of {@link encodeSafetensors} as header and data, without a copy of the data: the chunks are views of
 * the tensors' arrays, which must not change until they are written.
 */
export function safetensorsChunks(
  tensors: readonly ScatteredTensor[],
  metadata: Readonly<Record<string, string>>,
): Uint8Array[] {
  const header: Record<string, unknown> = { __metadata__: metadata };
  const data: Uint8Array[] = [];
  let offset = 0;
  for (const { name, shape, runs } of tensors) {
    const begin = offset;
    for (const run of runs) {
      data.push(new Uint8Array(run.buffer, run.byteOffset, run.byteLength));
      offset += run.byteLength;
    }
    header[name] = { dtype: "F32", shape, data_offsets: [begin, offset] };
  }
  const json = new TextEncoder().encode(JSON.stringify(header));
  const headerLength = Math.ceil(json.length / 8) * 8;
  const head = new Uint8Array(8 + headerLength);
  new DataView(head.buffer).setBigUint64(0, BigInt(headerLength), true);
  head.fill(0x20, 8);
  head.set(json, 8);
  return [head, ...data];
}

interface HeaderEntry {
  readonly dtype: string;
  readonly data_offsets: readonly [number, number];
}

/**
 * Decodes the float32 tensors of a safetensors file, by name: as views of the file where they lie at multiples of 4
 * bytes, else as copies.
 * @param source named in errors
 * @throws corruptData: the file is cut short, its header is no JSON, or a tensor is not float32
 */
export function decodeSafetensors(file: Uint8Array, source: string): Map<string, Float32Array> {
  const torn = (what: string) =>
    new DownpourError("corruptData", `${source} is no safetensors file: ${what}`);
  if (file.byteLength < 8) throw torn(`${file.byteLength} bytes, expected at least 8`);
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const dataStart = 8 + Number(view.getBigUint64(0, true));
  if (dataStart > file.byteLength)
    throw torn(`the header ends at ${dataStart}, the file at ${file.byteLength}`);
  let header: Partial<Record<string, HeaderEntry>> | null;
  try {
    header = JSON.parse(new TextDecoder().decode(file.subarray(8, dataStart))) as typeof header;
  } catch (error) {
    throw torn(messageOf(error));
  }
  const tensors = new Map<string, Float32Array>();
  for (const [name, entry] of Object.entries(header ?? {})) {
    if (name === "__metadata__") continue;
    const [begin = -1, end = -1] = entry?.data_offsets ?? [];
    if (!(begin >= 0 && end >= begin && (end - begin) % Float32Array.BYTES_PER_ELEMENT === 0)) {
      throw torn(`${name} lies at bytes ${begin} to ${end} of the data`);
    }
    if (entry?.dtype !== "F32" || dataStart + end > file.byteLength) {
      throw torn(`${name} is ${entry?.dtype} up to byte ${dataStart + end} of ${file.byteLength}`);
    }
    tensors.set(name, floatsOf(file.subarray(dataStart + begin, dataStart + end)));
  }
  return tensors;
}

function floatsOf(bytes: Uint8Array): Float32Array {
  const aligned = bytes.byteOffset % Float32Array.BYTES_PER_ELEMENT === 0;
  // (A Buffer's own slice would be a view.)
  const { buffer, byteOffset, byteLength } = aligned ? bytes : new Uint8Array(bytes);
  return new Float32Array(buffer, byteOffset, byteLength / Float32Array.BYTES_PER_ELEMENT);
}
