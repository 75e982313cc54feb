import { checkJob, type JobInput } from "@downpour/job";
import { expect, it } from "vitest";
import { checkResumable, firstDifference } from "./job-difference.ts";

function jobWith(overrides: Partial<JobInput> = {}) {
  return checkJob(
    {
      name: "test",
      data: { set: { name: "digits" } },
      model: { name: "mlp" },
      optimizer: { name: "sgd" },
      learningRate: { initial: 0.1 },
      ...overrides,
    },
    "test",
  );
}

it("finds no difference between a job and its JSON", () => {
  expect(firstDifference(JSON.parse(JSON.stringify(jobWith())), jobWith())).toBeUndefined();
});

it("names the path of a key that differs, and both values", () => {
  expect(firstDifference(jobWith(), jobWith({ cluster: { servers: 3 } }))).toEqual({
    key: "cluster.servers",
    before: "2",
    after: "3",
  });
});

it.each<[string, Partial<JobInput>]>([
  ["other machines", { cluster: { servers: 5, workers: 2, port: 7000 } }],
  ["another store", { checkpoint: { uri: "/elsewhere", everySeconds: 5 } }],
  ["more epochs", { training: { epochs: 11 } }],
  ["other evaluations", { evaluation: { everyEpochs: 3 } }],
  ["another device", { worker: { device: "cpu" } }],
  ["another name", { name: "other" }],
])("lets a job be resumed with %s", (_, overrides) => {
  expect(() => checkResumable(jobWith(), jobWith(overrides), "/c")).not.toThrow();
});

it.each<[string, Partial<JobInput>]>([
  ["seed", { seed: 2 }],
  ["model.name", { model: { name: "lenet5" } }],
  ["optimizer.name", { optimizer: { name: "adam" } }],
  ["learningRate.initial", { learningRate: { initial: 0.2 } }],
  ["data.batchSize", { data: { set: { name: "digits" }, batchSize: 3 } }],
  ["training.epochs", { training: { epochs: 9 } }],
  ["training.statisticsDecay", { training: { statisticsDecay: 0.5 } }],
])("refuses to resume with another %s, naming it", (key, overrides) => {
  const call = () => checkResumable(jobWith(), jobWith(overrides), "/c/checkpoint-1-e1");
  expect(call).toThrow(
    expect.objectContaining({ code: "usage", message: expect.stringContaining(`with ${key} `) }),
  );
});
