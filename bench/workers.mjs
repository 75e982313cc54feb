// Throughput of a job by number of workers: `npm run bench -- [--job FILE] [--workers 1,2] [--rounds 3]
// [--epochs 2] [--smoke] [--json]`. Each measurement is a cluster of fresh processes; the order alternates; what
// is compared is examples per second between the first lease and the drain. The ratio is to the first number
// of workers, pair by pair within a round; medians are printed with the raw values.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";

const root = fileURLToPath(new URL("..", import.meta.url));

const { values: options } = parseArgs({
  options: {
    job: { type: "string", default: path.join(root, "examples/digits-lenet5.yaml") },
    workers: { type: "string", default: "1,2" },
    rounds: { type: "string", default: "3" },
    epochs: { type: "string", default: "2" },
    smoke: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
});

const counts = options.workers.split(",").map(Number);
const rounds = options.smoke ? 1 : Number(options.rounds);
if (counts.some((count) => !(count >= 1)) || !(rounds >= 1)) {
  process.stderr.write("--workers takes numbers such as 1,2 and --rounds a number, all at least 1\n");
  process.exit(2);
}

/**
 * Trains the job once and returns its summary.
 * @param {number} workers
 */
async function measure(workers) {
  const folder = mkdtempSync(path.join(tmpdir(), "downpour-bench-"));
  const sizes = options.smoke ? ["--train-limit", "640", "--epochs", "1"] : ["--epochs", options.epochs];
  const args = ["--json", "train", options.job, "--workers", String(workers), ...sizes];
  const command = [
    path.join(root, "packages/cli/bin/downpour.js"),
    ...args,
    "--run-dir",
    path.join(folder, "run"),
  ];
  try {
    const child = spawn(process.execPath, command, { stdio: ["ignore", "pipe", "inherit"] });
    let output = "";
    child.stdout.on("data", (chunk) => {
      output += chunk;
    });
    const status = await new Promise((resolve) => child.once("close", resolve));
    const last = JSON.parse(output.trimEnd().split("\n").at(-1) ?? "{}");
    if (status !== 0) throw new Error(last.message ?? `the run ended with status ${status}`);
    return last;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** @param {number[]} numbers */
function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

const speeds = new Map(counts.map((count) => [count, []]));
const staleness = new Map(counts.map((count) => [count, []]));
for (let round = 0; round < rounds; round++) {
  const order = round % 2 === 0 ? counts : [...counts].reverse();
  for (const count of order) {
    const summary = await measure(count);
    speeds.get(count).push(summary.examplesPerSecond);
    staleness.get(count).push(summary.stalenessMean);
    if (!options.json) {
      process.stderr.write(
        `round ${round + 1}: ${count} workers ${Math.round(summary.examplesPerSecond)} examples/s\n`,
      );
    }
  }
}
const base = speeds.get(counts[0]);
const results = counts.map((count) => ({
  workers: count,
  examplesPerSecond: median(speeds.get(count)),
  ratio: median(speeds.get(count).map((speed, round) => speed / base[round])),
  stalenessMean: median(staleness.get(count)),
  raw: speeds.get(count),
}));
if (options.json) {
  process.stdout.write(`${JSON.stringify({ type: "summary", job: options.job, rounds, results })}\n`);
} else {
  for (const { workers, examplesPerSecond, ratio, stalenessMean, raw } of results) {
    const values = raw.map((value) => Math.round(value)).join(", ");
    process.stdout.write(
      `${workers} workers: ${Math.round(examplesPerSecond)} examples/s (${values}), ` +
        `${ratio.toFixed(2)} times ${counts[0]}, staleness ${stalenessMean.toFixed(2)}\n`,
    );
  }
}
