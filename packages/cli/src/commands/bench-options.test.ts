import { expect, test } from "vitest";
import { type BenchCheckpointOptions, durabilityPlanOf } from "./bench-checkpoint.ts";
import { type BenchComputeOptions, computePlanOf } from "./bench-compute.ts";
import { type BenchInputOptions, inputPlanOf } from "./bench-input.ts";

const compute: BenchComputeOptions = {
  model: "resnet20",
  batch: "64",
  precision: "float32",
  device: "cpu",
  threads: "1",
  rounds: "5",
};
const input: BenchInputOptions = {
  set: "images",
  batch: "64",
  height: "224",
  width: "224",
  augmentation: "yes",
  rounds: "5",
};
const checkpoint: BenchCheckpointOptions = {
  parameters: "25000000",
  workers: "1",
  servers: "2",
  batch: "64",
  rounds: "3",
  seconds: "20",
};

test.each([
  ["lenet5", { height: 28, width: 28, channels: 1, classCount: 10 }, 20],
  ["resnet20", { height: 32, width: 32, channels: 3, classCount: 10 }, 20],
  ["alexnet", { height: 227, width: 227, channels: 3, classCount: 1000 }, 5],
  ["resnet50", { height: 224, width: 224, channels: 3, classCount: 1000 }, 5],
])("%s is measured at its usual size", (model, usual, steps) => {
  expect(computePlanOf({ ...compute, model })).toMatchObject({ input: usual, usualInput: true, steps });
});

test("sizes of the command line win over the usual ones", () => {
  const plan = computePlanOf({ ...compute, height: "40", classes: "7" });
  expect(plan).toMatchObject({ input: { height: 40, width: 32, classCount: 7 }, usualInput: false });
});

test.each<[Partial<BenchComputeOptions>, RegExp]>([
  [{ model: "module" }, /^--model module: expected one of mlp, lenet5/],
  [{ batch: "0" }, /^--batch 0: expected an integer of 1 to 65536$/],
  [{ precision: "fp8" }, /^--precision fp8: expected one of float32, bf16$/],
  [{ device: "auto" }, /^--device auto: expected one of cpu, cuda, webgpu, portable$/],
  [{ device: "portable", precision: "bf16" }, /^--precision bf16: the device portable does not have it/],
  [{ threads: "" }, /^--threads : expected an integer/],
  [{ rounds: "1.5" }, /^--rounds 1.5: expected an integer/],
  [{ steps: "many" }, /^--steps many: expected an integer/],
  [{ classes: "1" }, /^--classes 1: expected an integer of 2/],
])("the benchmark of compute refuses %j", (changed, message) => {
  expect(() => computePlanOf({ ...compute, ...changed })).toThrow(
    expect.objectContaining({ code: "usage", message: expect.stringMatching(message) }),
  );
});

test.each<[Partial<BenchInputOptions>, RegExp]>([
  [{ set: "flowers" }, /^--set flowers: expected one of images, cifar10/],
  [{ augmentation: "maybe" }, /^--augmentation maybe: expected one of yes, no$/],
  [{ set: "mnist", path: "x" }, /^--path x: expected with --set images only/],
  [{ width: "0" }, /^--width 0: expected an integer/],
  [{ steps: "none" }, /^--steps none: expected an integer/],
])("the benchmark of input refuses %j", (changed, message) => {
  expect(() => inputPlanOf({ ...input, ...changed })).toThrow(
    expect.objectContaining({ code: "usage", message: expect.stringMatching(message) }),
  );
});

test.each<[Partial<BenchCheckpointOptions>, RegExp]>([
  [{ parameters: "25e9" }, /^--parameters 25e9: expected an integer of 10000 to 200000000$/],
  [{ servers: "1" }, /^--servers 1: expected an integer of 2 to 64$/],
  [{ seconds: "0" }, /^--seconds 0: expected an integer/],
])("the benchmark of checkpoints refuses %j", (changed, message) => {
  expect(() => durabilityPlanOf({ ...checkpoint, ...changed })).toThrow(
    expect.objectContaining({ code: "usage", message: expect.stringMatching(message) }),
  );
});
