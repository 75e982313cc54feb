// Clusters in containers: `pnpm bench compose [start] [scale] [slow] [train] [photographs] [--data-dir FOLDER] [--rounds 3]
// [--seconds 20] [--examples 6400] [--epochs 2] [--codecs float32,...] [--smoke] [--json]`. Needs a Docker engine with the image there,
// and for `slow` root and tc. What each part measures: docs/deploy-compose.md. Without a name all parts run that can.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { choiceOption, integerOption, readOptions, refuse } from "../scripts/options.mjs";
import { ComposeCluster, root } from "./compose-cluster.mjs";

const { values: options, positionals } = readOptions({
  allowPositionals: true,
  options: {
    "data-dir": { type: "string", default: "" },
    rounds: { type: "string", default: "3" },
    seconds: { type: "string", default: "20" },
    examples: { type: "string", default: "6400" },
    epochs: { type: "string", default: "2" },
    codecs: { type: "string", default: "float32,float16,int8,topK" },
    smoke: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
});
const rounds = options.smoke ? 1 : integerOption("rounds", options.rounds, 1);
const seconds = options.smoke ? 2 : integerOption("seconds", options.seconds, 1);
const examples = options.smoke ? 640 : integerOption("examples", options.examples, 1);
const epochs = options.smoke ? 1 : integerOption("epochs", options.epochs, 1);
const dataDirectory = options["data-dir"];

/** Whether the data folder has this. @param {string} name */
const has = (name) => dataDirectory !== "" && existsSync(path.join(dataDirectory, name));
const hasCifar = has("cifar-10-batches-bin");
const cifar = hasCifar ? { name: "cifar10" } : { name: "digits" };
const data = dataDirectory === "" ? [] : ["--data-dir", dataDirectory];

/** Of each line into a server: both directions, and the delay one way. */
const link = { rate: "50mbit", delayMs: 10 };

const codecs = {
  float32: { push: { codec: "float32" }, pull: "float32" },
  float16: { push: { codec: "float16" }, pull: "float16" },
  int8: { push: { codec: "int8" }, pull: "int8Difference" },
  topK: { push: { codec: "topK" }, pull: "int8Difference" },
};

const codecNames = options.codecs.split(",").map((name) => choiceOption("codecs", name, Object.keys(codecs)));

/** The parts, by name. @type {Record<string, () => Promise<object>>} */
const parts = { start, scale, slow, train, photographs };

const unknown = positionals.find((name) => parts[name] === undefined);
if (unknown !== undefined) refuse(`${unknown}: expected ${Object.keys(parts).join(", ")}`);
let failed = 0;
for (const name of positionals.length > 0 ? positionals : Object.keys(parts)) {
  try {
    const result = await parts[name]?.();
    const text = options.json ? JSON.stringify({ part: name, ...result }) : `${name}\n${linesOf(result)}`;
    process.stdout.write(`${text}\n`);
  } catch (error) {
    failed++;
    process.stderr.write(`${name}: ${error instanceof Error ? error.message : error}\n`);
  }
}
process.exitCode = failed === 0 ? 0 : 1;

/** Seconds from `downpour up` to the first counted batch, and what is left after `downpour down`. */
async function start() {
  const results = [];
  for (let round = 0; round < rounds; round++) {
    results.push(
      await withCluster(digitsJob(), [], async (cluster) => {
        const training = await cluster.event(
          ({ type, state }) => type === "stateChanged" && state === "training",
        );
        const step = await cluster.event(
          ({ type, examplesCounted }) => type === "progress" && examplesCounted > 0,
        );
        const since = ({ timeMs }) => (timeMs - cluster.startMs) / 1000;
        return {
          secondsToTraining: since(training),
          secondsToFirstStep: since(step),
          ...(await cluster.down()),
        };
      }),
    );
  }
  const median = (key) => medianOf(results.map((result) => result[key]));
  return {
    secondsToFirstStep: median("secondsToFirstStep"),
    secondsOfDown: median("seconds"),
    rounds: results,
  };
}

/** Examples per second of ResNet-20 with one worker, two, and one again, while it trains; the ledger at the end. */
async function scale() {
  const job = cifarJob("resnet20", { epochs: 1000, workers: 1, batchSize: 64 });
  return await withCluster(job, data, async (cluster) => {
    await cluster.event(({ type, examplesCounted }) => type === "progress" && examplesCounted > 640);
    const results = [];
    for (let round = 0; round < rounds; round++) {
      const before = await cluster.rate(seconds);
      await cluster.scale(2);
      const two = await cluster.rate(seconds);
      await cluster.scale(1);
      const after = await cluster.rate(seconds);
      results.push({ one: before, two, oneAgain: after, ratio: (2 * two) / (before + after) });
      process.stderr.write(`${JSON.stringify(results.at(-1))}\n`);
    }
    await cluster.stopJob();
    const { summary, folder } = await cluster.finish();
    const { epochs: ledger } = JSON.parse(readFileSync(path.join(folder, "ledger.json"), "utf8"));
    const unaccounted = ledger.map(
      ({ batches, applied, refused, skipped, pending }) => batches - applied - refused - skipped - pending,
    );
    const left = cluster.events.filter(({ type, role }) => type === "memberLeft" && role === "worker").length;
    return {
      ratio: medianOf(results.map(({ ratio }) => ratio)),
      batchesApplied: summary.batchesApplied,
      batchesLost: unaccounted.reduce((sum, count) => sum + Math.abs(count), 0),
      updatesOfEachSlice: [summary.updateCountMin, summary.updateCountMax],
      workersThatLeft: left,
      rounds: results,
    };
  });
}

/** Examples per second and accuracy of the CIFAR CNN over a slow network, with each codec. */
async function slow() {
  const places = {
    DOWNPOUR_BENCH_FOLDER: path.join(root, "bench"),
    DOWNPOUR_FAULTS_FOLDER: path.join(root, "packages/faults/dist"),
    DOWNPOUR_LINK_DELAY: String(link.delayMs),
  };
  const args = [...data, "--file", path.join(root, "bench/slow-network.yml")];
  const results = [];
  for (const name of codecNames) {
    const wire = codecs[name];
    const learning = {
      gradient: {},
      learningRate: { initial: 0.01, warmup: { epochs: 0.5, from: 0.1 } },
    };
    const size = { epochs, workers: 2, batchSize: 16, limit: examples };
    const job = { ...cifarJob("cifar-cnn", size), ...learning, wire };
    results.push(
      await withCluster(
        job,
        args,
        async (cluster) => {
          await limitLinks(cluster);
          const { summary } = await cluster.finish();
          const result = { name, ...speedOf(cluster.events), testAccuracy: summary.testAccuracy };
          process.stderr.write(`${JSON.stringify(result)}\n`);
          return result;
        },
        places,
      ),
    );
  }
  const base = results.find(({ name }) => name === "float32")?.examplesPerSecond;
  return {
    link,
    examples: examples * epochs,
    codecs: results.map((result) => ({
      ...result,
      timesFloat32: result.examplesPerSecond / (base ?? Number.NaN),
    })),
  };
}

/** ResNet-20 on CIFAR-10 with the same job in containers and without. */
async function train() {
  if (!hasCifar) return { left: "out: --data-dir has no cifar-10-batches-bin" };
  const job = cifarJob("resnet20", { epochs, workers: 2, batchSize: 64, limit: examples });
  const inContainers = await withCluster(job, data, async (cluster) => (await cluster.finish()).summary);
  const without = await inFolder(async (folder, file) => {
    const command = path.join(root, "packages/cli/bin/downpour.js");
    const { stdout } = spawnSync(process.execPath, [command, "--json", "train", file(job), ...data], {
      cwd: folder,
      encoding: "utf8",
      maxBuffer: 2 ** 28,
    });
    return JSON.parse(stdout.trim().split("\n").at(-1) ?? "{}");
  });
  const figures = ({ testAccuracy, examplesCounted }) => ({ testAccuracy, examplesCounted });
  return { epochs, examples, inContainers: figures(inContainers), without: figures(without) };
}

/** ResNet-50 on a folder of photographs for 51 steps: three times the same 17 batches of 8, protected as by default. */
async function photographs() {
  if (!has("flowers")) return { left: "out: --data-dir has no flowers" };
  const [batches, batchSize, times] = options.smoke ? [4, 8, 1] : [17, 8, 3];
  const { gradient: _, protection: __, ...job } = jobOf("resnet50", { epochs: times, workers: 2, batchSize });
  job.optimizer = { name: "momentum", momentum: 0.9 };
  job.learningRate = { initial: 0.0005 };
  job.data = {
    ...{ set: { name: "images", path: "flowers", height: 224, width: 224 }, batchSize },
    ...{ trainLimit: batches * batchSize, shardBatches: 2 },
  };
  return await withCluster(job, data, async (cluster) => {
    const { summary } = await cluster.finish();
    const losses = cluster.events.filter(({ type, loss }) => type === "progress" && loss !== null);
    const { batchesApplied, testAccuracy } = summary;
    const [first, last] = [losses[0]?.loss, losses.at(-1)?.loss];
    return {
      batchesApplied,
      batchSize,
      ...speedOf(cluster.events),
      firstLoss: first,
      lastLoss: last,
      testAccuracy,
    };
  });
}

function digitsJob() {
  const job = jobOf("lenet5", { epochs: 1000, workers: 2, batchSize: 64 });
  return { ...job, data: { ...job.data, set: { name: "digits" } } };
}

/** @param {string} model @param {{ epochs: number, workers: number, batchSize: number, limit?: number }} size */
function cifarJob(model, size) {
  const job = jobOf(model, size);
  const limit = size.limit === undefined ? {} : { trainLimit: size.limit };
  return { ...job, data: { ...job.data, set: cifar, validation: 500, ...limit } };
}

/** The evaluator has nothing to do before the end. */
function jobOf(model, { epochs, workers, batchSize }) {
  return {
    ...{ name: `bench-${model}`, seed: 1, model: { name: model } },
    data: { set: { name: "digits" }, batchSize },
    optimizer: { name: "momentum", momentum: 0.7 },
    gradient: { clipNorm: "off" },
    protection: { warmStart: false, adaptToWorkers: false, divergenceGuard: false },
    learningRate: { initial: 0.02 },
    training: { epochs },
    evaluation: { everyEpochs: 1000 },
    cluster: { workers, servers: 2, memberTimeoutMs: 60_000, leaseMs: 120_000, requestTimeoutMs: 60_000 },
  };
}

/** Whatever leaves a link leaves it at the rate: towards workers and towards its server. */
async function limitLinks(cluster) {
  for (const service of ["link-1", "link-2"]) {
    const pid = await cluster.pidOf(service);
    const inside = (...args) =>
      spawnSync("nsenter", ["--target", pid, "--net", ...args], { encoding: "utf8" });
    const list = JSON.parse(inside("ip", "-json", "link").stdout);
    for (const { ifname } of list.filter(({ ifname: name }) => name !== "lo")) {
      const limit = ["root", "tbf", "rate", link.rate, "burst", "64kb", "latency", "400ms"];
      const { status, stderr } = inside("tc", "qdisc", "add", "dev", ifname, ...limit);
      if (status !== 0) throw new Error(`tc in ${service}: ${stderr.trim()}`);
    }
  }
}

/** Between the progress after the first tenth of the examples and the last one. */
function speedOf(events) {
  const progress = events.filter(({ type }) => type === "progress");
  const last = progress
    .filter(({ examplesCounted }, i) => examplesCounted > (progress[i - 1]?.examplesCounted ?? 0))
    .at(-1);
  const first = progress.find(({ examplesCounted }) => examplesCounted >= last.examplesCounted / 10);
  const examplesPerSecond =
    (1000 * (last.examplesCounted - first.examplesCounted)) / (last.timeMs - first.timeMs);
  return { examplesPerSecond, seconds: (last.timeMs - first.timeMs) / 1000 };
}

async function withCluster(job, args, use, env = {}) {
  return await inFolder(async (folder) => {
    const cluster = new ComposeCluster(folder, job, { args, env });
    try {
      return await use(cluster);
    } finally {
      await cluster.down();
    }
  });
}

async function inFolder(use) {
  const folder = mkdtempSync(path.join(os.tmpdir(), "downpour-bench-compose-"));
  const file = (job) => {
    const name = path.join(folder, "job.json");
    writeFileSync(name, JSON.stringify(job));
    return name;
  };
  try {
    return await use(folder, file);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function linesOf(value, indent = "  ") {
  return Object.entries(value)
    .map(([key, inner]) => {
      if (typeof inner === "number") return `${indent}${key}  ${Number(inner.toPrecision(4))}`;
      if (typeof inner !== "object" || inner === null) return `${indent}${key}  ${inner}`;
      return `${indent}${key}\n${linesOf(inner, `${indent}  `)}`;
    })
    .join("\n");
}

/** @param {number[]} numbers */
function medianOf(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}
