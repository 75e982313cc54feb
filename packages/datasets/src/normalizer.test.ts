import { expect, test } from "vitest";
import type { Normalization } from "./dataset.ts";
import { createNormalizer } from "./normalizer.ts";

/** One image of 1 x 2 pixels, normalised. */
function normalized(channels: number, normalization: Normalization, bytes: number[]): number[] {
  const values = new Float32Array(bytes.length);
  createNormalizer({ height: 1, width: 2, channels, normalization })(
    Uint8Array.from(bytes),
    0,
    values,
    0,
    bytes.length / (2 * channels),
  );
  return [...values];
}

function expectClose(actual: number[], expected: number[]): void {
  expect(actual).toHaveLength(expected.length);
  for (const [i, value] of expected.entries()) expect(actual[i]).toBeCloseTo(value, 6);
}

test("values are (x/255 - mean) / deviation of their channel", () => {
  const one = { kind: "perChannel", mean: [0.2], deviation: [0.4] } as const;
  expectClose(normalized(1, one, [0, 255]), [-0.5, 2]);
  const two = { kind: "perChannel", mean: [0.2, 0.5], deviation: [0.4, 0.25] } as const;
  // (1-.2)/.4 = 2, (0-.5)/.25 = -2, (.4-.2)/.4 = .5, (.2-.5)/.25 = -1.2.
  expectClose(normalized(2, two, [255, 0, 102, 51]), [2, -2, 0.5, -1.2]);
  const three = { kind: "perChannel", mean: [0.2, 0.5, 0], deviation: [0.4, 0.25, 1] } as const;
  expectClose(normalized(3, three, [255, 0, 51, 102, 51, 255]), [2, -2, 0.2, 0.5, -1.2, 1]);
});

test("grey images of any size, between others", () => {
  const [height, width] = [3, 2];
  const normalization = { kind: "perChannel", mean: [0.5], deviation: [0.25] } as const;
  const normalize = createNormalizer({ height, width, channels: 1, normalization });
  const bytes = Uint8Array.from({ length: 24 }, (_, i) => 10 * i);
  const values = new Float32Array(24).fill(9);
  normalize(bytes, 6, values, 12, 1);
  const expected = Array.from({ length: 6 }, (_, i) => ((10 * (6 + i)) / 255 - 0.5) / 0.25);
  expectClose([...values.subarray(12, 18)], expected);
  expect([...values.subarray(0, 12), ...values.subarray(18)]).toEqual(Array(18).fill(9));
});

test("with a mean image, values are less the mean at their position", () => {
  const normalization = {
    kind: "meanImage",
    mean: [0.2, 0.4, 0.6, 0.8],
    deviation: [0.5, 0.1],
  } as const;
  // (.4-.2)/.5, (.4-.4)/.1, (.6-.6)/.5, (.6-.8)/.1; the second image is its mean.
  expectClose(
    normalized(2, normalization, [102, 102, 153, 153, 51, 102, 153, 204]),
    [0.4, 0, 0, -2, 0, 0, 0, 0],
  );
});

test("images are taken from and written to the given places, and nothing else is touched", () => {
  const normalization = { kind: "perChannel", mean: [0], deviation: [1] } as const;
  const normalize = createNormalizer({ height: 1, width: 2, channels: 1, normalization });
  const values = new Float32Array(4).fill(9);
  normalize(Uint8Array.of(0, 0, 255, 0, 255, 255), 2, values, 1, 1);
  expect([...values]).toEqual([9, 1, 0, 9]);
});
