// Trains networks of the zoo on 16 made-up images until they know them: `node bench/zoo.mjs [--models
// resnet20,vgg16] [--size 64] [--batch 16] [--loss 0.1] [--steps-max 300] [--precision bf16] [--json]`.
// For each network: the time of the first two steps (op by op, recorded) with the making of the graph, the median
// time of a step, the steps until the loss is below the goal, and the most memory the process held. One fresh
// process a network. With --steps N it makes just N steps, for time and memory of a large batch.
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { makeOptimizer, noDecay } from "@downpour/tensor-kernels";
import { loadTensorflow, Network } from "@downpour/worker";
import { choiceOption, integerOption, numberOption, readOptions } from "../scripts/options.mjs";

const zoo = {
  mlp: { size: 28, channels: 1, options: { hiddenUnits: [256, 128], activation: "relu" } },
  lenet5: { size: 28, channels: 1, options: { activation: "relu", pooling: "max" } },
  "cifar-cnn": { size: 32, options: {} },
  resnet20: { size: 32, options: { shortcut: "identity", zeroInitResidual: false } },
  resnet32: { size: 32, options: { shortcut: "identity", zeroInitResidual: false } },
  resnet56: { size: 32, options: { shortcut: "identity", zeroInitResidual: false } },
  resnet18: { size: 64, options: { zeroInitResidual: false } },
  resnet34: { size: 64, options: { zeroInitResidual: false } },
  resnet50: { size: 64, options: { zeroInitResidual: false } },
  resnet101: { size: 64, options: { zeroInitResidual: false } },
  resnet152: { size: 64, options: { zeroInitResidual: false } },
  googlenet: { size: 96, options: { dropout: 0, auxiliary: true }, rate: 3e-4 },
  alexnet: { size: 227, options: { dropout: 0 }, rate: 1e-4 },
  vgg11: { size: 64, options: { dropout: 0 }, rate: 1e-4 },
  vgg16: { size: 64, options: { dropout: 0 }, rate: 1e-4 },
  vgg19: { size: 64, options: { dropout: 0 }, rate: 1e-4 },
};
const defaultRate = 1e-3;
const stepsMin = 5;

const { values: args } = readOptions({
  options: {
    models: { type: "string", default: Object.keys(zoo).join(",") },
    size: { type: "string" },
    batch: { type: "string", default: "16" },
    classes: { type: "string", default: "10" },
    loss: { type: "string", default: "0.1" },
    "steps-max": { type: "string", default: "300" },
    steps: { type: "string" },
    precision: { type: "string", default: "float32" },
    json: { type: "boolean", default: false },
    one: { type: "string" },
  },
});
const names = args.models.split(",").map((name) => choiceOption("models", name, Object.keys(zoo)));
const wantedSize = args.size === undefined ? undefined : integerOption("size", args.size, 1);
const wantedSteps = args.steps === undefined ? undefined : integerOption("steps", args.steps, 1);
const stepsMax = wantedSteps ?? integerOption("steps-max", args["steps-max"], 1);
const count = integerOption("batch", args.batch, 1);
const classCount = integerOption("classes", args.classes, 2);
const lossGoal = numberOption("loss", args.loss, 0);
const precision = choiceOption("precision", args.precision, ["float32", "bf16"]);

/** The median of numbers. @param {number[]} values */
function median(values) {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;
}

/** @param {number} count */
function makeBatch(count, pixels, classes) {
  let state = 12345;
  const draw = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  };
  const images = Float32Array.from({ length: count * pixels }, draw);
  const targets = new Float32Array(count * classes);
  for (let i = 0; i < count; i++) targets[i * classes + ((i * 7) % classes)] = 1;
  return { images, targets, count };
}

/** Trains one network in this process and prints a line of JSON. @param {string} name */
async function trainOne(name) {
  const { size: usual, channels = 3, options, rate = defaultRate } = zoo[name];
  const size = wantedSize ?? usual;
  const notices = [];
  const network = await Network.create(loadTensorflow(), {
    model: { name, ...options },
    input: { height: size, width: size, channels, classCount },
    seed: 1,
    compute: { mode: "graph", precision },
    onNotice: (notice) => notices.push(notice),
  });
  const batch = makeBatch(count, size * size * channels, classCount);
  const optimizer = makeOptimizer({ name: "adam", beta1: 0.9, beta2: 0.999, epsilon: 1e-8 });
  const { weights, gradient, manifest } = network;
  const fixed = manifest.tensors.filter(({ trainable }) => !trainable);
  const slots =
    wantedSteps === undefined ? optimizer.slotNames.map(() => new Float32Array(weights.length)) : [];
  optimizer.initInPlace(slots);
  const goal = wantedSteps === undefined ? lossGoal : Number.NEGATIVE_INFINITY;
  const times = [];
  let recordedMs = 0;
  let loss = Number.POSITIVE_INFINITY;
  let steps = 0;
  // A few steps more where the goal is reached at once, so that there is a time to tell.
  while (steps < stepsMax && (steps < stepsMin || !(loss < goal))) {
    const startMs = performance.now();
    loss = await network.computeGradient(batch, [1, steps]);
    const tookMs = performance.now() - startMs;
    steps++;
    if (steps <= 2) recordedMs += tookMs;
    else times.push(tookMs);
    if (wantedSteps !== undefined) continue;
    // Batch statistics are no gradients; normalization in training does not use them.
    for (const { offset, shape } of fixed)
      gradient.fill(0, offset, offset + shape.reduce((a, b) => a * b, 1));
    optimizer.updateInPlace({ weights, gradient, slots, learningRate: rate, step: steps, decay: noDecay });
  }
  const result = {
    model: name,
    size,
    batch: count,
    parameters: manifest.tensors
      .filter(({ trainable }) => trainable)
      .reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0),
    recordSeconds: recordedMs / 1000,
    stepMilliseconds: median(times),
    imagesPerSecond: (count / median(times)) * 1000,
    steps,
    loss,
    reached: loss < goal,
    graphs: network.graphCount,
    peakGibibytes: process.resourceUsage().maxRSS / 2 ** 20,
    notices,
  };
  process.stdout.write(`${JSON.stringify(result)}\n`);
}

/** One process a network. */
function trainAll() {
  let failed = false;
  const passed = process.argv.slice(2).filter((argument) => argument !== "--json");
  for (const name of names) {
    const child = spawnSync(process.execPath, [fileURLToPath(import.meta.url), ...passed, "--one", name], {
      encoding: "utf8",
      stdio: ["ignore", "pipe", "inherit"],
    });
    const line = child.stdout.trim().split("\n").at(-1) ?? "";
    if (child.status !== 0) {
      failed = true;
      process.stderr.write(`${name}: ended with status ${child.status}\n`);
      continue;
    }
    const result = JSON.parse(line);
    failed ||= args.steps === undefined && !result.reached;
    process.stdout.write(args.json ? `${line}\n` : `${text(result)}\n`);
  }
  process.exit(failed ? 1 : 0);
}

function text(r) {
  const trained = args.steps === undefined ? `loss ${r.loss.toFixed(3)} after ${r.steps} steps, ` : "";
  return (
    `${r.model} ${r.size}x${r.size} batch ${r.batch}, ${r.parameters} parameters: ${trained}` +
    `recorded in ${r.recordSeconds.toFixed(1)} s, step ${r.stepMilliseconds.toFixed(0)} ms, ` +
    `peak ${r.peakGibibytes.toFixed(2)} GiB${r.notices.map((notice) => `; ${notice}`).join("")}`
  );
}

if (args.one === undefined) trainAll();
else await trainOne(args.one);
