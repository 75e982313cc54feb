import { DownpourError } from "@downpour/errors";
import { expect, test } from "vitest";
import type { Reporter } from "../reporter.ts";
import { comparePrograms, ratiosOf } from "./compare-programs.ts";
import type { Program } from "./compute-programs.ts";

/** A program that takes what it is told, round by round; an error is thrown. */
function program(
  name: Program["name"],
  speeds: readonly (number | Error)[],
  { required = name === "ours", cpuMilliseconds = 5, tellsCpuTime = true } = {},
): Program {
  const left = [...speeds];
  return {
    name,
    label: name,
    required,
    measure: async () => {
      const speed = left.shift();
      if (speed instanceof Error) throw speed;
      return {
        imagesPerSecond: speed ?? Number.NaN,
        cpuMilliseconds: tellsCpuTime ? cpuMilliseconds : undefined,
        loss: 1,
        notices: ["one notice"],
      };
    },
  };
}

function recorder(): Reporter & { said: string[] } {
  const said: string[] = [];
  const nothing = () => undefined;
  return {
    said,
    note: nothing,
    warn: (text) => said.push(text),
    event: nothing,
    task: nothing,
    result: nothing,
    failure: nothing,
  };
}

test("ratios are of the same round, by wall time and by CPU time", async () => {
  const reporter = recorder();
  const ours = program("ours", [100, 10, 120], { cpuMilliseconds: 2 });
  const stock = program("stockEager", [50, 5, 30], { cpuMilliseconds: 8 });
  const results = await comparePrograms([ours, stock], 3, reporter);
  expect(results.map(({ imagesPerSecond }) => imagesPerSecond)).toEqual([100, 30]);
  expect(ratiosOf(results)).toEqual({ ratios: { stockEager: 2 }, ratiosByCpuTime: { stockEager: 4 } });
  // Each notice once, whatever the rounds.
  expect(reporter.said).toEqual(["ours: one notice"]);
});

test("a program that does not tell its CPU time has no ratio by it", async () => {
  const torch = program("pytorch", [50], { tellsCpuTime: false });
  const results = await comparePrograms([program("ours", [100]), torch], 1, recorder());
  expect(ratiosOf(results)).toEqual({ ratios: { pytorch: 2 }, ratiosByCpuTime: {} });
});

test("a program that memory or machine can't bear is left out of all rounds, with a warning", async () => {
  const reporter = recorder();
  const memory = new DownpourError("resourceExhausted", "stock: out of memory");
  const programs = [program("ours", [100, 100]), program("stockEager", [50, memory])];
  const results = await comparePrograms(programs, 2, reporter);
  expect(results.map(({ name }) => name)).toEqual(["ours"]);
  expect(reporter.said).toContain("left out: stock: out of memory");
});

test("the failure of a program that was asked for fails the benchmark, and so does a broken one", async () => {
  const memory = new DownpourError("resourceExhausted", "out of memory");
  await expect(comparePrograms([program("ours", [memory])], 1, recorder())).rejects.toBe(memory);
  const broken = new DownpourError("internal", "the sum is 3");
  const programs = [program("ours", [1]), program("eager", [broken])];
  await expect(comparePrograms(programs, 1, recorder())).rejects.toBe(broken);
});
