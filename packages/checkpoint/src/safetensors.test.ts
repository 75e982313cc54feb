import { describe, expect, it } from "vitest";
import { decodeSafetensors, encodeSafetensors } from "./safetensors.ts";

/** Splits a file into its header and its data. */
function parse(file: Uint8Array): {
  header: Record<string, unknown>;
  data: Uint8Array;
  headerLength: number;
} {
  const headerLength = Number(new DataView(file.buffer).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(file.subarray(8, 8 + headerLength))) as Record<
    string,
    unknown
  >;
  return { header, data: file.subarray(8 + headerLength), headerLength };
}

/** A file of this header and 8 bytes of data. */
function withHeader(json: string): Uint8Array {
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, Buffer.from(json), Buffer.alloc(8)]);
}

describe("encodeSafetensors", () => {
  const tensors = [
    { name: "a/kernel", shape: [2, 1], data: Float32Array.of(1, -2) },
    { name: "scalar", shape: [], data: Float32Array.of(0.5) },
    { name: "empty", shape: [0, 3], data: new Float32Array() },
  ];

  it("has a header with type, shape and place of every tensor, and the metadata", () => {
    const { header } = parse(encodeSafetensors(tensors, { format: "downpour" }));
    expect(header).toEqual({
      __metadata__: { format: "downpour" },
      "a/kernel": { dtype: "F32", shape: [2, 1], data_offsets: [0, 8] },
      scalar: { dtype: "F32", shape: [], data_offsets: [8, 12] },
      empty: { dtype: "F32", shape: [0, 3], data_offsets: [12, 12] },
    });
  });

  it("begins the data at a multiple of 8 bytes, as little-endian float32", () => {
    const { data, headerLength } = parse(encodeSafetensors(tensors, {}));
    expect(headerLength % 8).toBe(0);
    const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
    expect([0, 4, 8].map((at) => view.getFloat32(at, true))).toEqual([1, -2, 0.5]);
    expect(data.byteLength).toBe(12);
  });
});

describe("decodeSafetensors", () => {
  const tensors = [
    { name: "a", shape: [3], data: Float32Array.of(1, -2, 3.5) },
    { name: "b", shape: [1], data: Float32Array.of(Number.MIN_VALUE) },
  ];
  const file = encodeSafetensors(tensors, { format: "downpour" });

  it.each<[string, Uint8Array]>([
    ["a file of its own", file],
    [
      "a Buffer within a larger one, at an odd place",
      Buffer.concat([Buffer.of(9), file, Buffer.of(9)]).subarray(1, -1),
    ],
  ])("gives back what was encoded, from %s", (_, bytes) => {
    const decoded = decodeSafetensors(bytes, "x");
    expect([...decoded]).toEqual(tensors.map(({ name, data }) => [name, data]));
  });

  it.each<[string, Uint8Array, RegExp]>([
    ["an empty file", new Uint8Array(), /0 bytes, expected at least 8/],
    ["a header that is cut short", file.subarray(0, 20), /the header ends at \d+, the file at 20/],
    ["data that are cut short", file.subarray(0, -1), /x is no safetensors file: b is F32 up to byte/],
    [
      "a tensor of 3 bytes",
      withHeader('{"b":{"dtype":"F32","data_offsets":[0,3]}}'),
      /b lies at bytes 0 to 3/,
    ],
    ["a tensor without place", withHeader('{"b":null}'), /b lies at bytes -1 to -1/],
    ["another kind of file", new TextEncoder().encode("\u0008\0\0\0\0\0\0\0not json"), /no safetensors file/],
  ])("refuses %s, naming it", (_, bytes, expected) => {
    expect(() => decodeSafetensors(bytes, "x")).toThrow(expected);
  });
});
