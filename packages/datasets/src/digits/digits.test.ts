import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { drawDigits, planDigits } from "./digits.ts";
import { drawExamplesInPlace } from "./generate.ts";
import { writingStyles } from "./handwriting.ts";

function draw(stream: "train" | "test", begin: number, end: number, seed = 1) {
  const images = new Uint8Array(end * 784);
  const labels = new Uint8Array(end);
  drawExamplesInPlace(images, labels, { seed, stream, begin, end });
  return { images: images.subarray(begin * 784), labels: labels.subarray(begin) };
}

test("the drawings of a seed never change between machines and releases", () => {
  const { images, labels } = draw("train", 0, 200);
  expect(createHash("sha256").update(images).update(labels).digest("hex")).toBe(
    "c94da7cae02257199c3066c4cb91fab9498b5dacf3466cd0f3166155f5014931",
  );
});

test("an example is a function of seed, stream and index alone", () => {
  const together = draw("train", 0, 20);
  const apart = draw("train", 13, 14);
  expect(apart.images).toEqual(together.images.slice(13 * 784, 14 * 784));
  expect(apart.labels[0]).toBe(together.labels[13]);
});

test("no image occurs twice in the streams of two seeds", () => {
  const seen = new Set<string>();
  for (const seed of [1, 2]) {
    for (const stream of ["train", "test"] as const) {
      const { images } = draw(stream, 0, 500, seed);
      for (let i = 0; i < 500; i++)
        seen.add(Buffer.from(images.subarray(i * 784, (i + 1) * 784)).toString("hex"));
    }
  }
  expect(seen.size).toBe(2000);
});

test("every class has about a tenth of the images", () => {
  const times = new Array<number>(10).fill(0);
  for (const label of draw("train", 0, 3000).labels) times[label] = (times[label] ?? 0) + 1;
  // Binomial (3,000, 1/10): mean 300, deviation 16.4.
  for (const count of times) expect(Math.abs(count - 300)).toBeLessThan(66);
});

test("there are at least three styles of every digit, drawn in its box", () => {
  expect(writingStyles.length).toBe(10);
  for (const styles of writingStyles) {
    expect(styles.length).toBeGreaterThanOrEqual(3);
    for (const { x, y } of styles.flat(2)) expect(Math.min(x, y, 1 - x, 1 - y)).toBeGreaterThanOrEqual(0);
  }
});

test("every drawn digit stands out from its paper and stays inside the frame", () => {
  const { images } = draw("test", 0, 300);
  for (let i = 0; i < 300; i++) {
    const image = images.subarray(i * 784, (i + 1) * 784);
    const sorted = image.toSorted();
    expect((sorted[770] ?? 0) - (sorted[392] ?? 0)).toBeGreaterThan(60);
  }
});

test("counts and seeds out of range are refused as usage", () => {
  expect(() => planDigits({ name: "digits", trainCount: 0 })).toThrow(/trainCount .* 1 to 1000000, but is 0/);
  expect(() => planDigits({ name: "digits", testCount: 2.5 })).toThrow(/testCount/);
  expect(() => planDigits({ name: "digits", seed: 0.5 })).toThrow(/seed/);
});

test("progress ends at the whole of each split", async () => {
  const last = new Map<string, [number, number | undefined]>();
  await drawDigits(planDigits({ name: "digits", trainCount: 1500, testCount: 10 }), (event) =>
    last.set(event.what, [event.doneBytes, event.totalBytes]),
  );
  expect(last.get("digits (train)")).toEqual([1500 * 784, 1500 * 784]);
  expect(last.get("digits (test)")).toEqual([7840, 7840]);
});
