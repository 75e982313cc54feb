import { expect, test } from "vitest";
import { decodeExample } from "./tf-example.ts";
import { example } from "./tfrecord-writer.test.suite.ts";

const place = { path: "/data/some.tfrecord", record: 3, offset: 99 };
const features = example({
  image: { bytes: [Buffer.from("pixels")] },
  label: { int64s: [7] },
  score: { floats: [0.5] },
  many: { int64s: [1, 2] },
  none: { int64s: [] },
});

test("the example of TensorFlow's guide to TFRecord is decoded", () => {
  // tensorflow.org/tutorials/load_data/tfrecord: serialize_example(False, 4, b'goat', 0.9876)
  const guide = Buffer.from(
    "\nR\n\x14\n\bfeature2\x12\b\n\x06\n\x04goat\n\x14\n\bfeature3\x12\b\x12\x06\n\x04[\xd3|?" +
      "\n\x11\n\bfeature0\x12\x05\x1a\x03\n\x01\x00\n\x11\n\bfeature1\x12\x05\x1a\x03\n\x01\x04",
    "latin1",
  );
  const decoded = decodeExample(guide, place);
  expect(decoded.bytes("feature2", "imageKey").toString()).toBe("goat");
  expect(decoded.int64("feature0", "labelKey")).toBe(0);
  expect(decoded.int64("feature1", "labelKey")).toBe(4);
  expect(() => decoded.int64("feature3", "labelKey")).toThrow("1 values of float");
});

test("bytes are a view of what was decoded, at their own place", () => {
  const image = decodeExample(features, place).bytes("image", "imageKey");
  expect(image.buffer).toBe(features.buffer);
  expect(image.byteOffset - features.byteOffset).toBe(features.indexOf("pixels"));
});

test("int64 are signed and exact to 53 bits", () => {
  const decode = (value: bigint) =>
    decodeExample(example({ label: { int64s: [value] } }), place).int64("label", "labelKey");
  expect(decode(-1n)).toBe(-1);
  expect(decode(2n ** 53n - 1n)).toBe(Number.MAX_SAFE_INTEGER);
  expect(decode(-(2n ** 63n))).toBe(-(2 ** 63));
});

test("an int64 that is not packed is read like a packed one", () => {
  // Example { features { feature { key: "y" value { int64_list { value: 5 } } } } }, field 1 as a plain varint.
  const unpacked = Buffer.from([10, 11, 10, 9, 10, 1, 0x79, 18, 4, 26, 2, 8, 5]);
  expect(decodeExample(unpacked, place).int64("y", "labelKey")).toBe(5);
});

test("errors name file, record, byte, feature, what it has, what was expected and the next step", () => {
  const decoded = decodeExample(features, place);
  const start = "/data/some.tfrecord: record 3, at byte 99,";
  expect(() => decoded.bytes("picture", "imageKey")).toThrow(
    `${start} has no feature picture (it has 5: image, label, score, many, none): name the right one with imageKey`,
  );
  expect(() => decoded.bytes("label", "imageKey")).toThrow(
    `${start} has 1 values of int64 in the feature label, expected one value of bytes`,
  );
  expect(() => decoded.int64("image", "labelKey")).toThrow(
    "has 1 values of bytes in the feature image, expected one",
  );
  expect(() => decoded.int64("many", "labelKey")).toThrow("has 2 values of int64");
  expect(() => decoded.int64("none", "labelKey")).toThrow("has 0 values of int64");
  expect(() => decodeExample(Buffer.alloc(0), place).int64("label", "labelKey")).toThrow("(it has none)");
  expect(() => decodeExample(example({}), place).int64("toString", "labelKey")).toThrow(
    "no feature toString",
  );
});

test("data that are no protobuf message are no tf.Example", () => {
  expect(() => decodeExample(Buffer.from("\nRhello", "latin1"), place)).toThrow(
    /record 3, .* is no tf\.Example \(/,
  );
});
