// Resident memory over many training steps: `node bench/memory.mjs [--model lenet5] [--steps 20000] [--batch 64]
// [--mode graph|eager] [--json]`. Made-up batches in three buffers that are used in turn, as the input pipeline
// does it; every 50th batch is a short one; weights move a little with each gradient. Compared is the memory after
// the first tenth of the steps with that after the last one, each the median of some samples, taken after a garbage
// collection. Exit status 1: it grew by 1 % or more.
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { checkJob } from "@downpour/job";
import { alignedFloats, loadTensorflow, Network } from "@downpour/worker";
import { integerOption, readOptions } from "../scripts/options.mjs";

const { values: options } = readOptions({
  options: {
    model: { type: "string", default: "lenet5" },
    steps: { type: "string", default: "20000" },
    batch: { type: "string", default: "64" },
    mode: { type: "string", default: "graph" },
    json: { type: "boolean", default: false },
  },
});
const steps = integerOption("steps", options.steps, 200);
const batchSize = integerOption("batch", options.batch, 1);

/** Growth, in percent, from which on it is a leak. */
const growthMax = 1;
/** Samples in a tenth of the steps. */
const samplesPerTenth = 20;

/** Sizes of the images of the data set that a model is usually trained on. */
const inputs = {
  grey: { height: 28, width: 28, channels: 1, classCount: 10 },
  small: { height: 32, width: 32, channels: 3, classCount: 10 },
  large: { height: 224, width: 224, channels: 3, classCount: 1000 },
};
const input =
  inputs[
    /^(lenet5|mlp)$/.test(options.model)
      ? "grey"
      : /^(cifar-cnn|resnet(20|32|56))$/.test(options.model)
        ? "small"
        : "large"
  ];

const job = readJob();
const network = await Network.create(loadTensorflow(), {
  model: job.model,
  input,
  seed: job.seed,
  compute: job.compute,
  onNotice: (notice) => process.stderr.write(`${notice}\n`),
});

setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc");
const buffers = [0, 1, 2].map(() => makeBatch());
/** @type {number[]} */
const samples = [];
const startMs = performance.now();
for (let step = 0; step < steps; step++) {
  const batch = buffers[step % buffers.length];
  batch.images[step % batch.images.length] += 0.01;
  await network.computeGradient(step % 50 === 49 ? shortened(batch) : batch, [step, 1]);
  for (let i = 0; i < network.weights.length; i++) network.weights[i] -= 1e-4 * network.gradient[i];
  if ((step + 1) % Math.max(1, Math.floor(steps / (10 * samplesPerTenth))) === 0) {
    collectGarbage();
    samples.push(process.memoryUsage.rss());
  }
}
const seconds = (performance.now() - startMs) / 1000;

const tenth = Math.floor(samples.length / 10);
const first = median(samples.slice(tenth >> 1, tenth));
const last = median(samples.slice(-Math.ceil(tenth / 2)));
const growth = (100 * (last - first)) / first;
const flat = growth < growthMax;
if (options.json) {
  const facts = { model: options.model, mode: options.mode, steps, batchSize, seconds };
  const result = { firstTenthBytes: first, lastBytes: last, growthPercent: growth, flat };
  process.stdout.write(`${JSON.stringify({ type: "summary", ...facts, ...result })}\n`);
} else {
  process.stdout.write(
    `${options.model}, ${options.mode}, ${steps} steps of ${batchSize} in ${seconds.toFixed(0)} s: resident memory ` +
      `${mebibytes(first)} after the first tenth, ${mebibytes(last)} at the end, ${growth.toFixed(2)} % growth ` +
      `(limit ${growthMax} %)\n`,
  );
}
process.exit(flat ? 0 : 1);

/** A job with the model, for the defaults of its options. */
function readJob() {
  try {
    return checkJob(
      {
        name: "memory",
        data: { set: { name: "digits" } },
        model: { name: options.model },
        optimizer: { name: "sgd" },
        learningRate: { initial: 1 },
        compute: { mode: options.mode },
      },
      "the command line",
    );
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
    process.exit(2);
  }
}

function makeBatch() {
  const images = alignedFloats(batchSize * input.height * input.width * input.channels);
  for (let i = 0; i < images.length; i++) images[i] = Math.sin(i * 0.37) + Math.cos(i * 0.011);
  const targets = alignedFloats(batchSize * input.classCount);
  for (let i = 0; i < batchSize; i++) targets[i * input.classCount + ((i * 7) % input.classCount)] = 1;
  return { images, targets, count: batchSize };
}

/** The first half of a batch. */
function shortened({ images, targets }) {
  const count = Math.ceil(batchSize / 2);
  return {
    images: images.subarray(0, (images.length / batchSize) * count),
    targets: targets.subarray(0, (targets.length / batchSize) * count),
    count,
  };
}

/** @param {number[]} numbers */
function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** @param {number} bytes */
function mebibytes(bytes) {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}
