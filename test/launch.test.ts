import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { defineJob, type JobInput, launch } from "downpour";
import { describe, expect, it } from "vitest";
import { cleanUpAfterEach, descendantsOf, downpour, makeFolder } from "./harness.ts";

cleanUpAfterEach();

const small: JobInput = defineJob({
  name: "small",
  data: { set: { name: "digits", trainCount: 300, testCount: 40 }, validation: 60, batchSize: 20 },
  model: { name: "mlp", hiddenUnits: [16] },
  optimizer: { name: "sgd" },
  learningRate: { initial: 0.05 },
  training: { epochs: 2 },
  cluster: { workers: 1, servers: 1, startTimeoutMs: 600_000, memberTimeoutMs: 60_000 },
});

describe("Downpour as a library", () => {
  it("trains an own model on own data, as the example shows it", async () => {
    const folder = makeFolder();
    const script = fileURLToPath(new URL("../examples/own-model/train.mjs", import.meta.url));
    const { stdout } = await promisify(execFile)(process.execPath, [script, folder]);
    expect(stdout).toMatch(/^\S+ joined$/m);
    expect(stdout).toMatch(/^epoch \d+\.\d: \d+\.\d % of the validation images$/m);
    // Three shapes: guessing gives a third.
    expect(Number(/^([\d.]+) % of the test images$/m.exec(stdout)?.[1])).toBeGreaterThan(80);
    expect(stdout).toContain(`model: ${join(folder, "run", "model")}`);

    const image = join(folder, "shapes", "test", "square", "0.png");
    const args = ["predict", image, "--model", join(folder, "run"), "--top", "3"];
    const predicted = await downpour(args).finished;
    expect(predicted.stdout).toMatch(/circle|square|triangle/);
  });

  it("gives typed events in order, the same again to who reads later, and the results", async () => {
    const run = await launch(small, { runDirectory: join(makeFolder(), "run") });
    const accuracies: number[] = [];
    const sequences: number[] = [];
    for await (const { sequence, event } of run.events) {
      sequences.push(sequence);
      if (event.type === "evaluated") accuracies.push(event.accuracy);
    }
    const summary = await run.summary;
    expect(summary).toMatchObject({ outcome: "finished", examplesCounted: 2 * 240 });
    expect(accuracies.at(-1)).toBe(summary.validationAccuracy);
    expect(sequences).toEqual(sequences.map((_, i) => i + 1));
    const again: number[] = [];
    for await (const { sequence } of run.events) again.push(sequence);
    expect(again).toEqual(sequences);
    expect(readFileSync(join(run.runDirectory, "job.yaml"), "utf8")).toContain("hiddenUnits");
    expect(descendantsOf(process.pid).filter(({ role }) => role !== "")).toEqual([]);
  });

  it("is told by status while it trains, and ends all processes when it is stopped", async () => {
    const run = await launch(
      { ...small, training: { epochs: 100_000 } },
      { runDirectory: join(makeFolder(), "run") },
    );
    let asked: object | undefined;
    const reading = (async () => {
      for await (const { event } of run.events) {
        if (event.type !== "progress" || asked !== undefined) continue;
        // Its coordinator is asked, not the files alone: only that knows who is there now.
        const { stdout } = await downpour(["--json", "status", run.runDirectory]).finished;
        asked = JSON.parse(stdout) as object;
        await run.stop();
      }
    })();
    await expect(reading).rejects.toMatchObject({ code: "jobFailed" });
    await expect(run.summary).rejects.toThrow("the job was stopped before it had ended");
    const members = expect.arrayContaining([expect.objectContaining({ role: "worker" })]) as unknown;
    expect(asked).toMatchObject({ state: "training", summary: null, members });
    expect(descendantsOf(process.pid).filter(({ role }) => role !== "")).toEqual([]);
  });

  it("refuses what can't be before anything starts", async () => {
    const wrong = { ...small, learningRate: { initial: -1 } };
    await expect(launch(wrong)).rejects.toThrow(
      /the job small is not a valid job file:\n {2}learningRate\.initial/,
    );
    const set = { name: "images", path: join(makeFolder(), "none") } as const;
    await expect(launch({ ...small, data: { set } })).rejects.toMatchObject({
      code: expect.any(String) as string,
    });
  });
});
