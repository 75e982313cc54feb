// What asynchrony costs in accuracy: trains one job with one worker, which is serial SGD, then with several, with the
// default protections and with all of them off; as many examples each time.
//
//   node bench/convergence.mjs --study lenet5 [--workers 1,2,4,8] [--seeds 1] [--epochs 5] [--off] [--json]
//
// --off adds the runs without protections, --set PATH=VALUE changes the job, --data-dir names the data sets' folder.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { environment } from "../scripts/config.mjs";
import { choiceOption, integerOption, readOptions, refuse } from "../scripts/options.mjs";

/** Settings that are right for one worker; the rate goes down by a cosine. */
const studies = {
  lenet5: {
    data: { set: { name: "mnist" }, validation: 100, batchSize: 64 },
    model: { name: "lenet5" },
    optimizer: { name: "momentum", momentum: 0.9 },
    learningRate: { initial: 0.05, schedule: { kind: "cosine", finalFraction: 0.02 } },
    training: { epochs: 5 },
  },
  "cifar-cnn": {
    data: { set: { name: "cifar10" }, validation: 100, batchSize: 64 },
    model: { name: "cifar-cnn" },
    optimizer: { name: "momentum", momentum: 0.9, weightDecay: 0.004 },
    learningRate: { initial: 0.01, schedule: { kind: "cosine", finalFraction: 0.01 } },
    training: { epochs: 15 },
  },
};

const off = {
  "protection.warmStart": "false",
  "protection.adaptToWorkers": "false",
  "protection.divergenceGuard": "false",
  "gradient.clipNorm": "off",
  "staleness.policy": "none",
};

const { values: args } = readOptions({
  options: {
    study: { type: "string", default: "lenet5" },
    workers: { type: "string", default: "1,2,4,8" },
    seeds: { type: "string", default: "1" },
    epochs: { type: "string" },
    off: { type: "boolean", default: false },
    set: { type: "string", multiple: true, default: [] },
    "data-dir": { type: "string", default: environment.DOWNPOUR_DATA_DIR ?? "" },
    json: { type: "boolean", default: false },
  },
});

const names = /** @type {(keyof typeof studies)[]} */ (Object.keys(studies));
const study = studies[choiceOption("study", args.study, names)];
const workerCounts = args.workers.split(",").map((text) => integerOption("workers", text, 1));
const seeds = args.seeds.split(",").map((text) => String(integerOption("seeds", text, 0)));
const epochs = args.epochs === undefined ? [] : ["--epochs", String(integerOption("epochs", args.epochs, 1))];
if (args["data-dir"] === "") refuse("--data-dir or DOWNPOUR_DATA_DIR: expected the folder of the data sets");

const command = path.join(import.meta.dirname, "../packages/cli/bin/downpour.js");
const folder = mkdtempSync(path.join(tmpdir(), "downpour-convergence-"));
const jobFile = path.join(folder, "job.yaml");
// JSON is YAML.
writeFileSync(
  jobFile,
  JSON.stringify({
    name: args.study,
    ...study,
    evaluation: { keep: "last", everyEpochs: 1000 },
    cluster: { servers: 2 },
  }),
);

/** Trains once and returns the summary. @param {number} workers @param {string} seed @param {boolean} unprotected */
function train(workers, seed, unprotected) {
  const settings = [...args.set, ...(unprotected ? Object.entries(off).map((each) => each.join("=")) : [])];
  const run = path.join(folder, `${workers}-${seed}-${unprotected}`);
  const line = [
    ...["--json", "train", jobFile, "--workers", String(workers), "--seed", seed, ...epochs],
    ...["--device", "cpu", "--data-dir", args["data-dir"], "--run-dir", run],
    ...settings.flatMap((each) => ["--set", each]),
  ];
  const { stdout } = spawnSync(process.execPath, [command, ...line], {
    encoding: "utf8",
    maxBuffer: 2 ** 30,
    stdio: ["ignore", "pipe", "inherit"],
  });
  return JSON.parse(stdout.trimEnd().split("\n").at(-1) || "{}");
}

let failed = false;
try {
  for (const workers of workerCounts) {
    for (const unprotected of args.off && workers > 1 ? [false, true] : [false]) {
      for (const seed of seeds) {
        const summary = train(workers, seed, unprotected);
        const { testAccuracy, stalenessMean, stalenessMax, examplesPerSecond, momentum, rateFactor } =
          summary;
        const { outcome, message, learningRateDrops } = summary;
        failed ||= outcome === undefined || (outcome !== "finished" && !unprotected);
        const facts = { workers, protections: unprotected ? "off" : "on", seed, outcome, testAccuracy };
        const more = { stalenessMean, stalenessMax, momentum, rateFactor, learningRateDrops };
        if (args.json) console.log(JSON.stringify({ ...facts, ...more, examplesPerSecond, message }));
        else {
          const accuracy =
            testAccuracy == null
              ? `${outcome ?? "error"}: ${message}`
              : `${(100 * testAccuracy).toFixed(2)} %`;
          const late = `staleness ${stalenessMean?.toFixed(2)}, at most ${stalenessMax}`;
          const chosen = `momentum ${momentum}, rate times ${rateFactor}, ${learningRateDrops} drops`;
          const speed = `${Math.round(examplesPerSecond)} examples/s`;
          console.log(
            `${workers} workers, protections ${facts.protections}, seed ${seed}: ${accuracy}; ${late}; ${chosen}; ${speed}`,
          );
        }
      }
    }
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
process.exitCode = failed ? 1 : 0;
