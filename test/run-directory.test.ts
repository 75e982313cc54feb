import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { readFrames } from "@downpour/datasets";
import type { JobSummary } from "@downpour/protocol";
import { type BoardEvent, decodeEvent, type SummaryValue } from "@downpour/tensorboard";
import sharp from "sharp";
import { describe, expect, it } from "vitest";
import { cleanUpAfterEach, makeFolder, patientJob, trainToEnd } from "./harness.ts";

cleanUpAfterEach();

function train(more: readonly string[] = []) {
  const folder = makeFolder();
  const job = join(folder, "small.yaml");
  writeFileSync(job, patientJob);
  return trainToEnd([job, "--run-dir", join(folder, "run"), ...more]);
}

/** 50 batches of 20 examples in each of 3 epochs. */
const steps = [50, 100, 150];

describe("the run directory", () => {
  it("says all about the run, and has event files that TensorBoard opens", async () => {
    const { runDirectory, ...summary } = await train();
    expectDescribed(runDirectory, summary);
    const board = join(runDirectory, "tensorboard");
    const [trained, validated, evaluated] = await Promise.all(
      ["train", "validation", "evaluator"].map((run) => readBoard(join(board, run))),
    );

    for (const tag of [
      ...["loss", "learning_rate", "examples_per_second", "workers", "staleness/mean", "staleness/max"],
    ]) {
      const values = valuesOf(trained, tag);
      expect(values.length, tag).toBeGreaterThan(0);
      const places = values.map(([step]) => step);
      expect(places).toEqual([...places].sort((a, b) => a - b));
    }
    // Every update of every slice counts once in the histograms of staleness.
    const stale = valuesOf(trained, "staleness").map(([, value]) => ("histo" in value ? value.histo.num : 0));
    const updates = summary.servers.reduce((sum, { updates: count }) => sum + count, 0);
    expect(stale.reduce((sum, count) => sum + count, 0)).toBe(updates);

    expect(valuesOf(validated, "accuracy").map(([step]) => step)).toEqual(steps);
    const last = valuesOf(validated, "accuracy").at(-1)?.[1];
    expect(last !== undefined && "simpleValue" in last && last.simpleValue).toBeCloseTo(
      summary.validationAccuracy ?? -1,
      6,
    );

    expect(valuesOf(evaluated, "weights/hidden1/kernel").map(([step]) => step)).toEqual(steps);
    const kernel = valuesOf(evaluated, "weights/hidden1/kernel")[0]?.[1];
    expect(kernel !== undefined && "histo" in kernel && kernel.histo.num).toBe(28 * 28 * 32);
    const sheets = valuesOf(evaluated, "samples");
    expect(sheets.map(([step]) => step)).toEqual(steps);
    const sheet = sheets[0]?.[1];
    if (sheet === undefined || !("image" in sheet)) throw new Error("there is no image");
    const { width, height, format } = await sharp(Buffer.from(sheet.image.encodedImageString)).metadata();
    expect([width, height, format]).toEqual([sheet.image.width, sheet.image.height, "png"]);
    expect(valuesOf(evaluated, "predictions")).toHaveLength(3);

    const python = process.env.DOWNPOUR_PYTHON;
    if (python !== undefined && spawnSync(python, ["-c", "import tensorboard"]).status === 0) {
      const run = spawnSync(python, ["-c", readWithTensorboard, board], { encoding: "utf8" });
      expect(run.stdout.trim().split("\n").at(-1), run.stderr).toBe("ok");
    }
  });

  it("has none when the job does not want them", async () => {
    const { runDirectory } = await train(["--set", "logging.tensorboard=false", "--epochs", "1"]);
    expect(readdirSync(runDirectory)).not.toContain("tensorboard");
    expect(readFileSync(join(runDirectory, "job.yaml"), "utf8")).toContain("tensorboard: false");
  });
});

/** What docs/run-directory.md lists, besides TensorBoard's files. */
function expectDescribed(runDirectory: string, summary: JobSummary): void {
  const read = (file: string) => readFileSync(join(runDirectory, file), "utf8");
  const document = readFileSync(new URL("../docs/run-directory.md", import.meta.url), "utf8");
  const documented = [...document.matchAll(/^\| `([a-z.]+)\/?` /gm)].map((match) => match[1]);
  const found = readdirSync(runDirectory);
  expect(found.filter((name) => !documented.includes(name))).toEqual([]);
  expect(found).not.toContain("coordinator.json");

  expect(JSON.parse(read("run.json"))).toMatchObject({
    job: "small",
    seed: 7,
    arguments: expect.arrayContaining(["train", "--run-dir", runDirectory]),
    versions: { node: process.versions.node, tfjs: expect.stringMatching(/^\d+\./) },
  });
  const lines = read("metrics.jsonl")
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  const validations = lines.filter(({ kind }) => kind === "validation");
  expect(validations.map(({ step }) => step)).toEqual(steps);
  expect(validations.at(-1)?.accuracy).toBe(summary.validationAccuracy);
  expect(lines.some(({ kind, loss }) => kind === "training" && typeof loss === "number")).toBe(true);
}

async function readBoard(folder: string): Promise<BoardEvent[]> {
  const events: BoardEvent[] = [];
  for (const name of readdirSync(folder)) {
    for await (const { data } of readFrames(join(folder, name))) events.push(decodeEvent(data));
  }
  return events;
}

function valuesOf(
  events: readonly BoardEvent[] | undefined,
  tag: string,
): [step: number, value: SummaryValue][] {
  return (events ?? []).flatMap(({ step = 0, summary }) =>
    (summary?.value ?? [])
      .filter((value) => value.tag === tag)
      .map((value): [number, SummaryValue] => [step, value]),
  );
}

/** TensorBoard's own reader finds the same. */
const readWithTensorboard = `
import os, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

def load(run):
    # 0: all of them; by itself it keeps one histogram of each tag.
    everything = {kind: 0 for kind in ["scalars", "histograms", "images", "tensors"]}
    found = EventAccumulator(os.path.join(sys.argv[1], run), size_guidance=everything)
    found.Reload()
    return found

assert [s.step for s in load("validation").Scalars("accuracy")] == [50, 100, 150]
assert "loss" in load("train").Tags()["scalars"]
assert "staleness" in load("train").Tags()["histograms"]
evaluator = load("evaluator")
assert [h.step for h in evaluator.Histograms("weights/hidden1/kernel")] == [50, 100, 150]
assert [i.step for i in evaluator.Images("samples")] == [50, 100, 150]
assert "taken for" in evaluator.Tensors("predictions")[0].tensor_proto.string_val[0].decode()
print("ok")
`;
