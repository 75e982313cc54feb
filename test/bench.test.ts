import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { cleanUpAfterEach, downpour } from "./harness.ts";

const bench = fileURLToPath(new URL("../bench/workers.mjs", import.meta.url));

describe("the benchmark of workers", () => {
  it("runs, and gives speed, ratio and staleness of each number of workers", async () => {
    const { stdout } = await promisify(execFile)(process.execPath, [bench, "--smoke", "--json"]);
    const { results } = JSON.parse(stdout) as {
      results: { workers: number; examplesPerSecond: number; ratio: number }[];
    };
    expect(results.map(({ workers }) => workers)).toEqual([1, 2]);
    expect(results[0]?.ratio).toBe(1);
    for (const { examplesPerSecond } of results) expect(examplesPerSecond).toBeGreaterThan(0);
  });
});

/** The last line of a benchmark. */
interface BenchSummary {
  readonly imagesPerSecond: number;
  readonly ratios: Readonly<Record<string, number>>;
  readonly ratiosByCpuTime: Readonly<Record<string, number>>;
  readonly programs: readonly {
    readonly name: string;
    readonly imagesPerSecond: number;
    readonly loss?: number;
    readonly rounds: readonly { readonly imagesPerSecond: number }[];
  }[];
}

/** Runs a benchmark without PyTorch and returns its last line. */
async function benchToEnd(...args: string[]): Promise<BenchSummary> {
  const run = downpour(["--json", "bench", ...args], { DOWNPOUR_PYTHON: "" });
  const { status, stdout, stderr } = await run.finished;
  if (status !== 0) throw new Error(`the benchmark ended with status ${status}:\n${stdout}\n${stderr}`);
  expect(stderr).toBe("");
  return run.events.at(-1) as unknown as BenchSummary;
}

function expectFigures({ imagesPerSecond, ratios, ratiosByCpuTime, programs }: BenchSummary): void {
  const speeds = programs.flatMap(({ rounds }) => rounds.map((round) => round.imagesPerSecond));
  const figures = [...speeds, ...Object.values(ratios), ...Object.values(ratiosByCpuTime)];
  for (const figure of figures) expect(figure).toBeGreaterThan(0);
  expect(imagesPerSecond).toBe(programs[0]?.imagesPerSecond);
}

const tiny = ["--rounds", "1", "--steps", "2"];

describe("the benchmark of compute", () => {
  cleanUpAfterEach();

  it("compares programs that compute the same: their losses agree", async () => {
    const summary = await benchToEnd("compute", "--model", "lenet5", "--batch", "8", ...tiny);
    expectFigures(summary);
    expect(Object.keys(summary.ratios).sort()).toEqual(["eager", "stockEager"]);
    expect(Object.keys(summary.ratiosByCpuTime).sort()).toEqual(["eager", "stockEager"]);
    expect(summary.programs.map(({ name }) => name)).toEqual(["ours", "eager", "stockEager"]);
    const [ours, eager, stock] = summary.programs.map(({ loss }) => loss ?? Number.NaN);
    expect(eager).toBeCloseTo(ours ?? Number.NaN, 4);
    expect(stock).toBeCloseTo(ours ?? Number.NaN, 4);
  });

  it.each([
    [["--model", "resnet21"], /--model resnet21: expected one of .*resnet20/],
    [["--model", "lenet5", "--height", "5"], /at least 12x12 pixels/],
    [["--model", "resnet50", "--batch", "60000"], /--batch 60000 needs about .*choose a smaller --batch/],
    [["--torch-step", "own.py"], /--torch-step needs --python/],
    [["--model", "vgg16", "--python", "python3"], /this project's program has lenet5, cifar-cnn, resnet20/],
  ])("refuses %j in one line", async (args, expected) => {
    const run = downpour(["bench", "compute", ...args], { DOWNPOUR_PYTHON: "" });
    const { status, stdout, stderr } = await run.finished;
    const errors = stderr.split("\n").filter((line) => line.startsWith("error: "));
    expect([status, errors.length, stdout]).toEqual([2, 1, ""]);
    expect(stderr.trimEnd().split("\n").at(-1)).toMatch(expected);
  });

  it("fails when the Python of the command line is none, and goes on when the environment's is", async () => {
    const named = await downpour(["bench", "compute", "--python", "/no/python"]).finished;
    expect(named).toMatchObject({
      status: 1,
      stderr: "error: --python /no/python: there is no such program\n",
    });
    const args = ["--json", "bench", "compute", "--model", "lenet5", "--batch", "2", ...tiny];
    const run = downpour(args, { DOWNPOUR_PYTHON: "/no/python" });
    expect((await run.finished).status).toBe(0);
    expect(run.events[0]).toEqual({
      type: "note",
      message: "PyTorch is left out: DOWNPOUR_PYTHON /no/python: there is no such program",
    });
  });
});

describe("the benchmark of input", () => {
  cleanUpAfterEach();

  it.each(["images", "digits"])("compares reading %s with what no reader can do without", async (set) => {
    const sizes = ["--batch", "8", "--height", "32", "--width", "32"];
    const summary = await benchToEnd("input", "--set", set, ...sizes, ...tiny);
    expectFigures(summary);
    expect(Object.keys(summary.ratios)).toEqual(["bare"]);
    expect(summary.programs.map(({ name }) => name)).toEqual(["reader", "bare"]);
  });

  it.each([
    [["--set", "flowers"], 2, /--set flowers: expected one of images, cifar10/],
    [["--data-dir", "/no/folder"], 1, /\/no\/folder\/train cannot be read/],
  ])("refuses %j in one line", async (args, expectedStatus, expected) => {
    const { status, stdout, stderr } = await downpour(["bench", "input", ...args]).finished;
    expect([status, stdout, stderr.trimEnd().split("\n").length]).toEqual([expectedStatus, "", 1]);
    expect(stderr).toMatch(expected);
  });
});
