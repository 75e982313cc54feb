import { fileURLToPath } from "node:url";
import { loadSync, type MethodDefinition } from "@grpc/proto-loader";
import { expect, test } from "vitest";
import { services } from "./definition.ts";
import { withOneCopy } from "./one-copy.ts";

const directory = fileURLToPath(new URL("../proto", import.meta.url));
const files = ["downpour/v1/parameter_server.proto"];
const plain = loadSync(files, { includeDirs: [directory] })["downpour.v1.ParameterServer"] as Record<
  string,
  MethodDefinition<object, object>
>;

const data = new Uint8Array(new SharedArrayBuffer(3000)).fill(9);
const push = {
  sequence: 2 ** 40,
  memberId: "worker-1",
  manifestFingerprint: "é".repeat(50),
  pushId: { epoch: 1, batch: 2 },
  slices: [
    { sliceIndex: 3, base: { term: 1, count: 7 }, codec: "CODEC_FLOAT32", data },
    { sliceIndex: 4, data: Buffer.alloc(0) },
  ],
};
const pull = { sequence: 1, status: { code: 0, message: "", reason: "" }, slices: push.slices, last: true };

test.each([
  ["a push", services.ParameterServer.service.Push.requestSerialize, plain.Push?.requestSerialize, push],
  ["a pull", services.ParameterServer.service.Pull.responseSerialize, plain.Pull?.responseSerialize, pull],
] as const)(
  "%s is written in place byte for byte as by proto-loader, and its length is known before",
  (_, once, twice, message) => {
    const expected = twice?.(message) as Buffer;
    const unwritten = (once as (message: object) => Buffer)(message);
    const framed = Buffer.alloc(expected.length + 10, 0xaa);
    expect([unwritten.length, unwritten.byteLength]).toEqual([expected.length, expected.length]);
    expect(unwritten.copy(framed, 5)).toBe(expected.length);
    expect(framed.subarray(5, -5).equals(expected)).toBe(true);
    for (const edge of [framed.subarray(0, 5), framed.subarray(-5)])
      expect(edge.equals(Buffer.alloc(5, 0xaa))).toBe(true);
  },
);

test("too little room is refused before anything is written", () => {
  const unwritten = (services.ParameterServer.service.Push.requestSerialize as (message: object) => Buffer)(
    push,
  );
  const short = Buffer.alloc(unwritten.length + 4);
  expect(() => unwritten.copy(short, 5)).toThrow(RangeError);
  expect(short.every((byte) => byte === 0)).toBe(true);
});

test("a method that the proto files do not have is refused at the start", () => {
  const definition = loadSync(files, { includeDirs: [directory] });
  const wanted = { service: "downpour.v1.ParameterServer", method: "Shove", side: "request" } as const;
  expect(() => withOneCopy(definition, files, directory, [wanted])).toThrow("Shove");
});
