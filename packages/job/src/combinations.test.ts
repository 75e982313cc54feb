import { describe, expect, test } from "vitest";
import { checkJob } from "./parse.ts";

const minimal = {
  name: "job",
  data: { set: { name: "digits" } },
  model: { name: "mlp" },
  optimizer: { name: "momentum" },
  learningRate: { initial: 0.1 },
};

/** The lines of the refusal that speak of one mistake each; none for a valid job. */
function mistakesIn(change: object): string[] {
  try {
    checkJob({ ...minimal, ...change }, "job.yaml");
    return [];
  } catch (error) {
    return String((error as Error).message)
      .split("\n")
      .slice(1, -1)
      .map((line) => line.trim());
  }
}

const topK = { wire: { push: { codec: "topK" } } };
const dana = { staleness: { policy: "dana" } };
const sync = { consistency: { kind: "sync" } };

describe("settings that exclude each other are refused, naming the path, the value and what was expected:", () => {
  test.each([
    [
      "top-k gradients with an optimizer that normalises",
      { ...topK, optimizer: { name: "adam" } },
      'optimizer.name: top-k gradients keep the momentum at the worker: expected sgd, momentum or nesterov; found "adam"',
    ],
    [
      "DANA with an optimizer that normalises",
      { ...dana, optimizer: { name: "adagrad" } },
      'optimizer.name: staleness dana keeps the momentum at the worker: expected sgd, momentum or nesterov; found "adagrad"',
    ],
    [
      "DANA with top-k gradients",
      { ...dana, ...topK },
      'staleness.policy: dana and top-k gradients both keep the momentum at the worker: choose one; found "dana"',
    ],
    [
      "a staleness policy in rounds",
      { ...sync, staleness: { policy: "gapAware" } },
      'staleness.policy: gradients of a sync round are never late: expected none; found "gapAware"',
    ],
    [
      "as many backup workers as workers",
      { consistency: { kind: "sync", backupWorkers: 3 }, cluster: { workers: 3 } },
      "consistency.backupWorkers: expected fewer than the 3 workers; found 3",
    ],
    [
      "shards that pushes don't divide",
      { data: { ...minimal.data, shardBatches: 10 }, worker: { pushEvery: 4 } },
      "data.shardBatches: expected a multiple of worker.pushEvery, 4; found 10",
    ],
    [
      "rounds of several gradients of a worker",
      { ...sync, worker: { pushEvery: 2 } },
      "worker.pushEvery: rounds take one gradient of each worker: expected 1; found 2",
    ],
    [
      "rounds with pulls of the worker's own",
      { ...sync, worker: { pullEvery: 2 } },
      "worker.pullEvery: sync decides when weights are pulled: expected 1; found 2",
    ],
    [
      "SSP with pulls of the worker's own",
      { consistency: { kind: "ssp", bound: 3 }, worker: { pullEvery: 5 } },
      "worker.pullEvery: ssp decides when weights are pulled: expected 1; found 5",
    ],
  ])("%s", (_, change, expected) => {
    expect(mistakesIn(change)).toEqual([expected]);
  });
});

describe("what goes together is taken:", () => {
  test.each<[string, object]>([
    ["top-k gradients with each optimizer of plain momentum", { ...topK, optimizer: { name: "sgd" } }],
    ["top-k gradients with Nesterov", { ...topK, optimizer: { name: "nesterov" } }],
    ["DANA with momentum and int8 gradients", { ...dana, wire: { push: { codec: "int8" } } }],
    ["DANA with SSP", { ...dana, consistency: { kind: "ssp", bound: 2 } }],
    ["one backup worker of two", { consistency: { kind: "sync", backupWorkers: 1 } }],
    ["pushes that divide the shards", { worker: { pushEvery: 4, pullEvery: 2 } }],
    [
      "n-softsync with pulls of the worker's own",
      { consistency: { kind: "softsync", pushes: 2 }, worker: { pullEvery: 2 } },
    ],
  ])("%s", (_, change) => {
    expect(mistakesIn(change)).toEqual([]);
  });
});
