import { expect, test } from "vitest";
import type { Dataset, Split } from "../dataset.ts";
import { epochOrder } from "../epoch-order.ts";
import { loadDataset } from "../load.ts";
import { createNormalizer } from "../normalizer.ts";

const pixels = 784;
const classes = 10;

/** logits[c] = bias[c] + sum over p of weight[c, p] x[p]; the bias is the last column. */
function classScores(weights: Float64Array, image: Float32Array): number[] {
  return Array.from({ length: classes }, (_, c) => {
    const row = c * (pixels + 1);
    let sum = weights[row + pixels] ?? 0;
    for (let p = 0; p < pixels; p++) sum += (weights[row + p] ?? 0) * (image[p] ?? 0);
    return sum;
  });
}

function forEachExample(
  dataset: Dataset,
  split: Split,
  order: Uint32Array,
  visit: (image: Float32Array, label: number) => void,
): void {
  const normalizeInto = createNormalizer(dataset);
  const bytes = split.pixels.kind === "memory" ? split.pixels.bytes : new Uint8Array();
  const image = new Float32Array(pixels);
  for (const example of order) {
    normalizeInto(bytes, example * pixels, image, 0, 1);
    visit(image, split.labels[example] ?? 0);
  }
}

/** Softmax regression by SGD, one example at a time: w[c] <- w[c] - rate (p[c] - [c = label]) x. */
function trainLinear(dataset: Dataset, epochs: number): Float64Array {
  const weights = new Float64Array(classes * (pixels + 1));
  for (let epoch = 0; epoch < epochs; epoch++) {
    const rate = 0.001 * (1 - epoch / epochs);
    forEachExample(
      dataset,
      dataset.train,
      epochOrder(1, epoch, dataset.train.exampleCount),
      (image, label) => {
        const scores = classScores(weights, image);
        const top = Math.max(...scores);
        const exponentials = scores.map((score) => Math.exp(score - top));
        const total = exponentials.reduce((sum, value) => sum + value, 0);
        for (const [c, value] of exponentials.entries()) {
          const step = rate * (value / total - (c === label ? 1 : 0));
          const row = c * (pixels + 1);
          for (let p = 0; p < pixels; p++)
            weights[row + p] = (weights[row + p] ?? 0) - step * (image[p] ?? 0);
          weights[row + pixels] = (weights[row + pixels] ?? 0) - step;
        }
      },
    );
  }
  return weights;
}

test("a linear model learns the drawn digits, but stays below 93 %", async () => {
  const dataset = await loadDataset(
    { name: "digits", trainCount: 6000, testCount: 1000 },
    { cacheDirectory: "unused", seed: 1, validation: 1000, download: false },
  );
  const weights = trainLinear(dataset, 5);
  let right = 0;
  forEachExample(dataset, dataset.test, epochOrder(0, 0, 1000), (image, label) => {
    const scores = classScores(weights, image);
    if (scores.indexOf(Math.max(...scores)) === label) right++;
  });
  expect(right / 1000).toBeGreaterThan(0.7);
  expect(right / 1000).toBeLessThan(0.93);
});
