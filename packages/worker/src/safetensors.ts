import { DownpourError, messageOf } from "@downpour/errors";

/** One float32 tensor of a safetensors file. */
export interface NamedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly data: Float32Array;
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
  const header: Record<string, unknown> = { __metadata__: metadata };
  let offset = 0;
  for (const { name, shape, data } of tensors) {
    const end = offset + data.byteLength;
    header[name] = { dtype: "F32", shape, data_offsets: [offset, end] };
    offset = end;
  }
  const json = new TextEncoder().encode(JSON.stringify(header));
  const headerLength = Math.ceil(json.length / 8) * 8;
  const file = new Uint8Array(8 + headerLength + offset);
  new DataView(file.buffer).setBigUint64(0, BigInt(headerLength), true);
  file.fill(0x20, 8, 8 + headerLength);
  file.set(json, 8);
  let at = 8 + headerLength;
  for (const { data } of tensors) {
    file.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at);
    at += data.byteLength;
  }
  return file;
}

interface HeaderEntry {
  readonly dtype: string;
  readonly data_offsets: readonly [number, number];
}

/**
 * Decodes the float32 tensors of a safetensors file, by name.
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
  let header: Record<string, HeaderEntry>;
  try {
    header = JSON.parse(new TextDecoder().decode(file.subarray(8, dataStart))) as typeof header;
  } catch (error) {
    throw torn(messageOf(error));
  }
  const tensors = new Map<string, Float32Array>();
  for (const [name, entry] of Object.entries(header)) {
    if (name === "__metadata__") continue;
    const [begin, end] = entry.data_offsets;
    if (entry.dtype !== "F32" || dataStart + end > file.byteLength) {
      throw torn(`${name} is ${entry.dtype} up to byte ${dataStart + end} of ${file.byteLength}`);
    }
    // A copy, since the bytes may lie at any alignment. (A Buffer's own slice would be a view.)
    const bytes = new Uint8Array(file.subarray(dataStart + begin, dataStart + end));
    tensors.set(name, new Float32Array(bytes.buffer));
  }
  return tensors;
}
