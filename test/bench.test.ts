import { readdirSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { cleanUpAfterEach, downpour, makeFolder } from "./harness.ts";

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
async function benchToEnd<Summary = BenchSummary>(...args: string[]): Promise<Summary> {
  const run = downpour(["--json", "bench", ...args], { DOWNPOUR_PYTHON: "" });
  const { status, stdout, stderr } = await run.finished;
  if (status !== 0) throw new Error(`the benchmark ended with status ${status}:\n${stdout}\n${stderr}`);
  expect(stderr).toBe("");
  return run.events.at(-1) as unknown as Summary;
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

/** All numbers in a value, however deep. */
function numbersIn(value: unknown): number[] {
  if (typeof value === "number") return [value];
  return typeof value === "object" && value !== null ? Object.values(value).flatMap(numbersIn) : [];
}

function expectPositive(...values: unknown[]): void {
  const numbers = numbersIn(values);
  expect(numbers.length).toBeGreaterThan(0);
  for (const number of numbers) expect(number).toBeGreaterThan(0);
}

async function expectOneLine(args: readonly string[], status: number, expected: RegExp): Promise<void> {
  const run = downpour(["bench", ...args], { DOWNPOUR_PYTHON: "" });
  const { status: found, stdout, stderr } = await run.finished;
  expect([found, stdout, stderr.trimEnd().split("\n").length]).toEqual([status, "", 1]);
  expect(stderr).toMatch(expected);
}

interface ApplySummary {
  readonly gigabytesPerSecond: number;
  readonly ratios: Readonly<Record<string, number>>;
  readonly results: readonly {
    readonly threads: number;
    readonly ratios: Readonly<Record<string, number>>;
  }[];
  readonly programs: readonly { readonly name: string; readonly rounds: readonly unknown[] }[];
}

describe("the benchmark of updates", () => {
  cleanUpAfterEach();

  it.each(["momentum", "adam"])(
    "compares updates by %s with a plain loop and bare memory",
    async (optimizer) => {
      const sizes = ["--parameters", "70000", "--threads", "1,2", ...tiny];
      const summary = await benchToEnd<ApplySummary>("apply", "--optimizer", optimizer, ...sizes);
      expectPositive(summary.gigabytesPerSecond, summary.results, summary.programs);
      expect(Object.keys(summary.ratios).sort()).toEqual(["copy", "fewest", "javascript", "triad"]);
      expect(summary.results.map(({ threads }) => threads)).toEqual([1, 2]);
      expect(summary.results[0]?.ratios.fewest).toBe(1);
      const names = summary.programs.map(({ name }) => name);
      expect(names).toEqual(["server", "triad", "server", "triad", "copy", "javascript"]);
    },
  );

  it.each<[string[], RegExp]>([
    [["--optimizer", "lion"], /--optimizer lion: expected one of momentum, adam/],
    [["--parameters", "7"], /--parameters 7: expected an integer of 1000 to/],
    [["--threads", "1,1"], /--threads 1,1: expected different integers of 1 to 64/],
  ])("refuses %j in one line", async (args, expected) => expectOneLine(["apply", ...args], 2, expected));

  it("fails when the Python of the command line is none", async () =>
    expectOneLine(["apply", "--python", "/no/python"], 1, /--python \/no\/python: there is no such program/));
});

interface WireSummary {
  readonly gigabytesPerSecond: { readonly push: number; readonly pull: number };
  readonly ratios: Readonly<Record<string, number>>;
  readonly bytes: { readonly push: number; readonly pull: number };
  readonly byteShares: { readonly push: number; readonly pull: number };
}

describe("the benchmark of the wire", () => {
  cleanUpAfterEach();

  it("compares pushes and pulls, over TLS too, with a socket that moves as many bytes", async () => {
    const summary = await benchToEnd<WireSummary>("wire", "--mebibytes", "3", "--tls", ...tiny);
    expectPositive(summary.gigabytesPerSecond, summary.ratios);
    expect(Object.keys(summary.ratios).sort()).toEqual(["pull", "push", "tlsPull", "tlsPush"]);
    expect(summary.bytes).toEqual({ push: 3 * 2 ** 20, pull: 3 * 2 ** 20 });
  });

  it("counts the bytes that codecs save", async () => {
    const codecs = ["--codec", "int8", "--pull-codec", "bfloat16"];
    const { byteShares } = await benchToEnd<WireSummary>("wire", "--mebibytes", "3", ...codecs, ...tiny);
    expect(byteShares.pull).toBe(0.5);
    // A scale per 1,024 elements beside them.
    expect(byteShares.push).toBeCloseTo(0.25 * (1 + 4 / 1024), 3);
  });

  it.each<[string[], RegExp]>([
    [["--mebibytes", "0"], /--mebibytes 0: expected an integer of 1 to 256/],
    [["--codec", "gzip"], /--codec gzip: expected one of float32, float16, bfloat16, int8, oneBit, topK/],
    [
      ["--pull-codec", "int8"],
      /--pull-codec int8: expected one of float32, float16, bfloat16, int8Difference/,
    ],
    [["--steps", "x"], /--steps x: expected an integer/],
  ])("refuses %j in one line", async (args, expected) => expectOneLine(["wire", ...args], 2, expected));
});

interface ClusterSummary {
  readonly imagesPerSecond: number;
  readonly ratios: Readonly<Record<string, number>>;
  readonly results: readonly {
    readonly workers: number;
    readonly imagesPerSecond: number;
    readonly stalenessMean: number;
    readonly ratios: Readonly<Record<string, number>>;
    readonly programs: readonly { readonly name: string }[];
  }[];
}

describe("the benchmark of a cluster", () => {
  cleanUpAfterEach();

  it("gives speed, ratios and staleness of each number of workers", async () => {
    const small = ["--rounds", "1", "--warmup", "1", "--seconds", "1", "--batch", "8"];
    const args = ["--model", "lenet5", "--workers", "1,2", ...small];
    const summary = await benchToEnd<ClusterSummary>("cluster", ...args);
    expect(summary.results.map(({ workers }) => workers)).toEqual([1, 2]);
    expectPositive(summary.imagesPerSecond, summary.ratios);
    expect(summary.imagesPerSecond).toBe(summary.results[0]?.imagesPerSecond);
    for (const { imagesPerSecond, ratios, stalenessMean, programs } of summary.results) {
      expectPositive(imagesPerSecond, ratios);
      expect(Object.keys(ratios).sort()).toEqual(["compute", "fewest"]);
      expect(stalenessMean).toBeGreaterThanOrEqual(0);
      expect(programs.map(({ name }) => name)).toEqual(["cluster", "compute"]);
    }
    expect(summary.results[0]?.ratios.fewest).toBe(1);
  });

  it.each<[string[], RegExp]>([
    [["--model", "resnet21"], /--model resnet21: expected one of .*resnet20/],
    [["--workers", "0"], /--workers 0: expected different integers of 1 to 64/],
    [["--seconds", ""], /--seconds : expected an integer of 1 to 3600/],
    [["--model", "vgg16", "--python", "python3"], /this project's program has lenet5, cifar-cnn, resnet20/],
  ])("refuses %j in one line", async (args, expected) => expectOneLine(["cluster", ...args], 2, expected));
});

interface CheckpointSummary {
  readonly parameters: number;
  readonly examplesPerSecond: number;
  readonly ratios: { readonly writing: number; readonly replicated: number };
  readonly checkpoint: { readonly bytes: number; readonly seconds: number };
  readonly programs: readonly { readonly name: string }[];
}

describe("the benchmark of checkpoints and replicas", () => {
  cleanUpAfterEach();

  it("compares training while checkpoints are written, and with replicas, with neither", async () => {
    const store = makeFolder();
    const small = ["--rounds", "1", "--seconds", "2", "--batch", "8", "--parameters", "100000"];
    const summary = await benchToEnd<CheckpointSummary>("checkpoint", "--store", store, ...small);
    const { parameters, ratios, checkpoint, examplesPerSecond } = summary;
    expectPositive(ratios.writing, ratios.replicated, examplesPerSecond, checkpoint.seconds);
    // Weights and momentum, at 4 bytes each.
    expect(checkpoint.bytes).toBeGreaterThan(8 * parameters);
    expect(checkpoint.bytes).toBeLessThan(8 * parameters + 100_000);
    expect(summary.programs.map(({ name }) => name)).toEqual(["plain", "replicated"]);
    expect(readdirSync(store)).toEqual([]);
  });

  it.each<[string[], RegExp]>([
    [["--servers", "1"], /--servers 1: expected an integer of 2 to 64/],
    [["--store", "/no/folder"], /--store \/no\/folder: /],
  ])("refuses %j in one line", async (args, expected) => expectOneLine(["checkpoint", ...args], 2, expected));
});
