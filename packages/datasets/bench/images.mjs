// Images a second of the input pipeline from a folder of images, beside those of bare sharp: the same files, decoded
// and resized with the same number at once, in the same process. Rounds alternate; medians and raw values are printed.
//
//   node packages/datasets/bench/images.mjs <folder with train/<class>/*> [rounds]
import { readFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import sharp from "sharp";
import { BatchReader, loadDataset } from "../dist/index.js";

const [path, rounds = "5"] = process.argv.slice(2);
if (path === undefined) throw new Error("usage: images.mjs <folder> [rounds]");
const sidePixels = 224;
const batchSize = 32;
const augmentation = {
  randomResizedCrop: { scale: [0.08, 1], ratio: [3 / 4, 4 / 3] },
  flip: { horizontal: 0.5, vertical: 0 },
};

const dataset = await loadDataset(
  { name: "images", path: resolve(path), height: sidePixels, width: sidePixels },
  { cacheDirectory: "unused", seed: 1, validation: 1, download: false },
);
const { train } = dataset;
const into = {
  images: new Float32Array(batchSize * sidePixels ** 2 * 3),
  targets: new Float32Array(batchSize * dataset.classNames.length),
};
const batches = Math.ceil(train.exampleCount / batchSize);

async function bare() {
  let next = 0;
  const decodeSome = async () => {
    while (next < train.exampleCount) {
      const encoded = await readFile(train.pixels.nameOf(next++));
      await sharp(encoded).resize(sidePixels, sidePixels).raw().toBuffer();
    }
  };
  await Promise.all(Array.from({ length: Math.max(2, availableParallelism()) }, decodeSome));
}

async function evaluation() {
  const reader = new BatchReader(dataset, { seed: 1, batchSize, augmentation: undefined });
  for (let begin = 0; begin < train.exampleCount; begin += batchSize) {
    await reader.readRun(train, begin, Math.min(begin + batchSize, train.exampleCount), into);
  }
}

async function training(spec) {
  const reader = new BatchReader(dataset, { seed: 1, batchSize, augmentation: spec });
  for (let batch = 0; batch < batches; batch++) await reader.readTraining({ epoch: 0, batch }, into);
}

const contestants = {
  "bare sharp": bare,
  "readRun (evaluation)": evaluation,
  "readTraining, not augmented": () => training(undefined),
  "readTraining, random resized crop and flip": () => training(augmentation),
};
const rates = Object.fromEntries(Object.keys(contestants).map((name) => [name, []]));
await bare();
for (let round = 0; round < Number(rounds); round++) {
  const names = Object.keys(contestants);
  for (const name of round % 2 === 0 ? names : names.reverse()) {
    const begin = performance.now();
    await contestants[name]();
    rates[name].push((train.exampleCount / (performance.now() - begin)) * 1000);
  }
}
const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
const baseline = median(rates["bare sharp"]);
for (const [name, values] of Object.entries(rates)) {
  const raw = values.map((value) => value.toFixed(0)).join(" ");
  const rate = median(values);
  console.log(`${name}: ${rate.toFixed(0)} images/s, ${(rate / baseline).toFixed(2)} of bare sharp (${raw})`);
}
