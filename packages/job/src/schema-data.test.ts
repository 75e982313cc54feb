import { expect, test } from "vitest";
import { loadOptionsOf } from "./load-options.ts";
import { checkJob } from "./parse.ts";

/** A job with this under `data`. */
function jobWith(data: object) {
  return checkJob(
    {
      name: "a",
      data: { set: { name: "digits" }, ...data },
      model: { name: "mlp" },
      optimizer: { name: "sgd" },
      learningRate: { initial: 0.1 },
    },
    "job.yaml",
  );
}

test.each([
  [{ name: "cifar100" }, { name: "cifar100", labels: "fine" }],
  [
    { name: "images", path: "flowers" },
    { name: "images", path: "flowers", height: 224, width: 224, channels: 3 },
  ],
  [
    { name: "tfrecord", train: ["train-*"], test: ["t"], height: 8, width: 9 },
    {
      name: "tfrecord",
      train: ["train-*"],
      test: ["t"],
      imageKey: "image/encoded",
      labelKey: "image/class/label",
      height: 8,
      width: 9,
      channels: 3,
    },
  ],
  [
    { name: "csv", train: "a.csv", test: "b.csv", height: 28, width: 28 },
    { name: "csv", train: "a.csv", test: "b.csv", labelColumn: "label", height: 28, width: 28, channels: 1 },
  ],
])("the data set %j gets its defaults", (set, expected) => {
  expect(jobWith({ set }).data.set).toEqual(expected);
});

test.each([
  [
    "an unknown data set",
    { set: { name: "imagenet" } },
    /data\.set\.name: .*images, tfrecord, csv.*"imagenet"/,
  ],
  ["two channels", { set: { name: "images", channels: 2 } }, /data\.set\.channels/],
  [
    "an evaluation that shrinks below the size",
    { set: { name: "images", resize: 0.9 } },
    /data\.set\.resize.*0\.9/,
  ],
  [
    "no training file",
    { set: { name: "tfrecord", train: [], test: ["t"], height: 1, width: 1 } },
    /data\.set\.train/,
  ],
  [
    "a mean without deviation",
    { normalization: { kind: "perChannel", mean: [0.5] } },
    /data\.normalization: .*both|neither/,
  ],
  [
    "more means than deviations",
    { normalization: { kind: "perChannel", mean: [0.5, 0.4], deviation: [0.2] } },
    /data\.normalization: .*one number a channel/,
  ],
  ["a deviation of 0", { normalization: { kind: "perChannel", mean: [0], deviation: [0] } }, /deviation.*>0/],
  ["fewer than no unreadable examples", { unreadableMax: -1 }, /data\.unreadableMax.*>=0; found -1/],
])("%s is refused", (_, data, message) => {
  expect(() => jobWith(data)).toThrow(message);
});

test("loading gets the job's seed and normalisation, and a given folder wins over the job's", () => {
  const normalization = { kind: "perChannel", mean: [0.485, 0.456, 0.406], deviation: [0.229, 0.224, 0.225] };
  const job = jobWith({ normalization, directory: "from-job", trainLimit: 7 });
  const options = loadOptionsOf(job, { cacheDirectory: "cache", dataDirectory: undefined });
  expect(options).toEqual({
    cacheDirectory: "cache",
    dataDirectory: "from-job",
    seed: 1,
    validation: 0.1,
    download: true,
    trainLimit: 7,
    normalization,
  });
  expect(loadOptionsOf(job, { cacheDirectory: "cache", dataDirectory: "given" }).dataDirectory).toBe("given");
});

test("augmentation is of the schema's own, and absent unless it is given", () => {
  expect(jobWith({}).data.augmentation).toBeUndefined();
  expect(jobWith({ augmentation: { flip: {} } }).data.augmentation).toEqual({
    flip: { horizontal: 0.5, vertical: 0 },
  });
});
