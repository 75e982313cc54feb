import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { JobSummary } from "@downpour/protocol";
import { findDevices } from "@downpour/worker";
import { describe, expect, it } from "vitest";
import { cleanUpAfterEach, downpour, makeFolder, smallJob, trainToEnd } from "./harness.ts";

cleanUpAfterEach();

const dataDirectory = process.env.DOWNPOUR_DATA_DIR;
const hasWebgpu = (await findDevices()).some(({ device, available }) => device === "webgpu" && available);

describe("the portable device", () => {
  it("trains LeNet-5 without TensorFlow, to the accuracy of the native one", async () => {
    const folder = makeFolder();
    const file = join(folder, "job.yaml");
    writeFileSync(
      file,
      smallJob.replace("model: { name: mlp, hiddenUnits: [32] }", "model: { name: lenet5 }"),
    );
    const accuracy = async (device: string) =>
      (
        await trainToEnd([
          ...[file, "--workers", "1", "--device", device, "--run-dir", join(folder, device)],
          // The best weights depend on when the evaluator comes by; the last ones of a single worker do not.
          ...["--set", "evaluation.keep=last", "data.set.testCount=1000"],
          // A rate at which rounding does not grow into another course of training.
          ...["--learning-rate", "0.02", "--epochs", "6"],
        ])
      ).testAccuracy;
    const [portable, native] = [await accuracy("portable"), await accuracy("cpu")];
    expect(Math.abs((portable ?? 0) - (native ?? 0))).toBeLessThanOrEqual(0.01);
    expect(portable).toBeGreaterThan(0.9);
  });

  it("that does not exist is refused with the names of those that do", async () => {
    const { status, stderr } = await downpour(["worker", "--coordinator", "127.0.0.1:9", "--device", "gpu"])
      .finished;
    expect(stderr).toMatch(/--device gpu: expected one of auto, cpu, cuda, webgpu, portable/);
    expect(status).toBe(2);
  });
});

describe.skipIf(!hasWebgpu || !dataDirectory)(
  "a worker on webgpu and one on cpu (skipped without a WebGPU adapter or without DOWNPOUR_DATA_DIR)",
  () => {
    it("train MNIST together", async () => {
      const folder = makeFolder();
      const file = join(folder, "job.yaml");
      // Small batches and shards: a GPU in software takes seconds for what a core does in milliseconds.
      const job = smallJob
        .replace("{ name: digits, trainCount: 1100, testCount: 200 }", "{ name: mnist }\n  trainLimit: 4000")
        .replace("batchSize: 20", "batchSize: 16")
        .replace("shardBatches: 4", "shardBatches: 1")
        .replace("model: { name: mlp, hiddenUnits: [32] }", "model: { name: lenet5 }")
        // For one worker; of two, less is in force.
        .replace("momentum: 0.5", "momentum: 0.75")
        .replace("epochs: 3", "epochs: 4")
        .replace(
          "memberTimeoutMs: 3000, leaseMs: 4000",
          "memberTimeoutMs: 30000, leaseMs: 60000, port: 47613",
        );
      writeFileSync(file, job);
      // The launcher starts one worker; the other one joins from outside, as on another machine.
      const run = join(folder, "run");
      const args = ["--json", "train", file, "--run-dir", run, "--workers", "1", "--device", "cpu"];
      const launcher = downpour([...args, "--data-dir", dataDirectory ?? ""]);
      await launcher.event((event) => event.type === "memberJoined");
      const coordinator = ["--coordinator", "127.0.0.1:47613", "--data-dir", dataDirectory ?? ""];
      const other = downpour(["worker", ...coordinator, "--device", "webgpu"]);
      const [{ status, stdout, stderr }, joined] = await Promise.all([launcher.finished, other.finished]);
      expect(joined.stderr).not.toMatch(/"level":[45]0/);
      expect([status, joined.status], stderr).toEqual([0, 0]);
      const { testAccuracy, examplesCounted, stalenessMax } = JSON.parse(
        stdout.trimEnd().split("\n").at(-1) ?? "",
      ) as JobSummary;
      expect(testAccuracy).toBeGreaterThan(0.9);
      expect(examplesCounted).toBe(4 * 4000);
      // Gradients of one worker alone are never stale: both pushed.
      expect(stalenessMax).toBeGreaterThan(0);
    });
  },
);
