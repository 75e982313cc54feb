import { assert, constantFrom, double, option, property, record, tuple } from "fast-check";
import { expect, test } from "vitest";
import { z } from "zod";
import { augmentation } from "./schema-augmentation.ts";

test("nothing mentioned is nothing done", () => {
  expect(augmentation.parse({})).toEqual({});
});

test("an augmentation that is mentioned gets the usual parameters", () => {
  const mentioned = {
    randomResizedCrop: {},
    crop: {},
    flip: {},
    affine: {},
    colorJitter: {},
    noise: {},
    cutout: {},
    mixup: {},
    cutmix: {},
  };
  expect(augmentation.parse(mentioned)).toEqual({
    randomResizedCrop: { scale: [0.08, 1], ratio: [3 / 4, 4 / 3] },
    crop: { padding: 4, fill: "zero" },
    flip: { horizontal: 0.5, vertical: 0 },
    affine: { translate: 0, rotateDegrees: 0, scale: [1, 1], fill: "zero" },
    colorJitter: { brightness: 0, contrast: 0, saturation: 0, hue: 0 },
    noise: { deviation: 0.1 },
    cutout: { size: 16, holes: 1, fill: "mean" },
    mixup: { alpha: 0.2 },
    cutmix: { alpha: 1 },
  });
});

test.each([
  ["an unknown augmentation", { rotate: {} }],
  ["an unknown parameter", { crop: { pad: 4 } }],
  ["a padding of 0", { crop: { padding: 0 } }],
  ["a padding that is no integer", { crop: { padding: 1.5 } }],
  ["another fill of a crop", { crop: { fill: "edge" } }],
  ["a probability above 1", { flip: { horizontal: 1.1 } }],
  ["a probability below 0", { flip: { vertical: -0.1 } }],
  ["a shift of more than the image", { affine: { translate: 1.5 } }],
  ["an angle of more than half a turn", { affine: { rotateDegrees: 181 } }],
  ["a magnification of 0", { affine: { scale: [0, 1] } }],
  ["a range that runs backwards", { affine: { scale: [1.2, 0.8] } }],
  ["a range of one number", { affine: { scale: [1] } }],
  ["a crop of more than the image's area", { randomResizedCrop: { scale: [0.5, 1.1] } }],
  ["a backward range of ratios", { randomResizedCrop: { ratio: [2, 1] } }],
  ["a brightness below 0", { colorJitter: { brightness: -1 } }],
  ["a hue of more than half the circle", { colorJitter: { hue: 0.6 } }],
  ["a deviation above 1", { noise: { deviation: 25 } }],
  ["a hole of no size", { cutout: { size: 0 } }],
  ["no holes", { cutout: { holes: 0 } }],
  ["an alpha of 0", { mixup: { alpha: 0 } }],
  ["a negative alpha", { cutmix: { alpha: -1 } }],
  ["a label smoothing of 1", { labelSmoothing: 1 }],
  ["a label smoothing that is no number", { labelSmoothing: {} }],
])("refuses %s", (_, value) => {
  expect(augmentation.safeParse(value).success).toBe(false);
});

test("a backward range is refused with what is wrong about it", () => {
  const { error } = augmentation.safeParse({ affine: { scale: [1.2, 0.8] } });
  expect(error?.issues.map(({ path, message }) => ({ path, message }))).toEqual([
    {
      path: ["affine", "scale"],
      message: "the first number of a range must not be larger than the second",
    },
  ]);
});

test("what was parsed parses again to itself", () => {
  const share = double({ min: 0, max: 1, noNaN: true });
  const range = tuple(share, share)
    .filter(([a, b]) => a > 0 && b > 0)
    .map(([a, b]) => [Math.min(a, b), Math.max(a, b)]);
  const maybe = { nil: undefined };
  const specs = record({
    flip: option(record({ horizontal: share }), maybe),
    crop: option(record({ fill: constantFrom("zero", "reflect") }), maybe),
    affine: option(record({ translate: share, scale: range }), maybe),
    noise: option(record({ deviation: share }), maybe),
  });
  assert(
    property(specs, (spec) => {
      const parsed = augmentation.parse(spec);
      expect(augmentation.parse(JSON.parse(JSON.stringify(parsed)))).toEqual(
        JSON.parse(JSON.stringify(parsed)),
      );
      expect(parsed.flip?.horizontal).toBe(spec.flip?.horizontal);
    }),
  );
});

test("every key that holds a value says what it means", () => {
  interface Node {
    readonly description?: string;
    readonly properties?: Readonly<Record<string, Node>>;
  }
  const leaves = (node: Node, path: string): [string, string | undefined][] =>
    node.properties === undefined
      ? [[path, node.description]]
      : Object.entries(node.properties).flatMap(([key, child]) => leaves(child, `${path}.${key}`));
  const found = leaves(z.toJSONSchema(augmentation, { io: "input" }) as Node, "augmentation");
  expect(found).toHaveLength(21);
  expect(found.filter(([, text]) => (text ?? "").length < 10)).toEqual([]);
});
