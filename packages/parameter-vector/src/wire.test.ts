import { expect, test } from "vitest";
import { makeManifest } from "./manifest.ts";
import { manifestFromWire, manifestToWire, type WireManifest } from "./wire.ts";

const manifest = makeManifest([
  { name: "conv/kernel", shape: [3, 3, 1, 8], role: "weight", trainable: true, decayed: true },
  { name: "conv/bias", shape: [8], role: "bias", trainable: true, decayed: false },
  { name: "bn/gamma", shape: [8], role: "normScale", trainable: true, decayed: false },
  { name: "bn/mean", shape: [8], role: "movingStatistic", trainable: false, decayed: false },
  { name: "temperature", shape: [], role: "weight", trainable: false, decayed: false },
]);

test("a manifest survives the wire", () => {
  expect(manifestFromWire(manifestToWire(manifest))).toEqual(manifest);
});

test("the wire form is plain data that survives JSON", () => {
  const wire: WireManifest = JSON.parse(JSON.stringify(manifestToWire(manifest)));
  expect(manifestFromWire(wire)).toEqual(manifest);
});

test("the wire form shares no array with the manifest", () => {
  const wire = manifestToWire(manifest);
  wire.tensors[0]?.shape.push(99);
  expect(manifest.tensors[0]?.shape).toEqual([3, 3, 1, 8]);
});

const alterations: [string, (wire: WireManifest) => void][] = [
  [
    "fingerprint",
    (wire) => {
      wire.fingerprint = wire.fingerprint.replace(/^./, (c) => (c === "0" ? "1" : "0"));
    },
  ],
  [
    "length",
    (wire) => {
      wire.length += 16;
    },
  ],
  [
    "name",
    (wire) => {
      firstOf(wire).name = "conv/kernel2";
    },
  ],
  [
    "shape",
    (wire) => {
      firstOf(wire).shape = [3, 3, 8, 1];
    },
  ],
  [
    "offset",
    (wire) => {
      firstOf(wire).offset = 16;
    },
  ],
  [
    "role",
    (wire) => {
      firstOf(wire).role = "TENSOR_ROLE_BIAS";
    },
  ],
  [
    "trainable flag",
    (wire) => {
      firstOf(wire).trainable = false;
    },
  ],
  [
    "decayed flag",
    (wire) => {
      firstOf(wire).decayed = false;
    },
  ],
  [
    "order of tensors",
    (wire) => {
      wire.tensors.reverse();
    },
  ],
  [
    "number of tensors",
    (wire) => {
      wire.tensors.pop();
    },
  ],
];

function firstOf(wire: WireManifest): WireManifest["tensors"][number] {
  return wire.tensors[0] as WireManifest["tensors"][number];
}

test.each(alterations)("an altered %s is refused", (_, alter) => {
  const wire = manifestToWire(manifest);
  alter(wire);
  expect(() => manifestFromWire(wire)).toThrow(expect.objectContaining({ code: "invalidArgument" }));
});

test("a message without a manifest is refused", () => {
  expect(() => manifestFromWire(null)).toThrow(expect.objectContaining({ code: "invalidArgument" }));
});

test("a role that is not set is refused, naming the tensor", () => {
  const wire = manifestToWire(manifest);
  firstOf(wire).role = "TENSOR_ROLE_UNSPECIFIED";
  expect(() => manifestFromWire(wire)).toThrow(
    expect.objectContaining({ code: "invalidArgument", message: expect.stringContaining("conv/kernel") }),
  );
});

test("two tensors of one name are refused on the wire too", () => {
  const wire = manifestToWire(manifest);
  wire.tensors[1] = { ...firstOf(wire) };
  expect(() => manifestFromWire(wire)).toThrow(expect.objectContaining({ code: "invalidArgument" }));
});
