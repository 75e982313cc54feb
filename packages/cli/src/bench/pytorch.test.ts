import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import type { ComputePlan } from "./compute-plan.ts";
import { findTorch, measureTorch, type Torch } from "./pytorch.ts";
import { zooEntry } from "./zoo-inputs.ts";

const folder = mkdtempSync(join(tmpdir(), "downpour-pytorch-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A stand-in for Python: `imports` runs for -c, `runs` for a program. */
function python(name: string, imports: string, runs = "true"): string {
  const file = join(folder, name);
  writeFileSync(file, `#!/bin/sh\nif [ "$1" = -c ]; then ${imports}; else ${runs}; fi\n`);
  chmodSync(file, 0o755);
  return file;
}

const plan: ComputePlan = {
  ...zooEntry("resnet20"),
  usualInput: true,
  batchSize: 8,
  precision: "bf16",
  device: "cpu",
  threads: 1,
  rounds: 1,
  warmupSteps: 4,
  steps: 3,
};
const nothing = { python: undefined, environmentPython: undefined, program: undefined };

test("the program gets model, batch, threads, precision and sizes, and its figures are read", async () => {
  const file = python(
    "good",
    "echo 9.9",
    'echo "$*" >&2; echo "img/s=123.5 cpu_ms=7.25 loss=2.5 $2:$3:$4:$5:$#"',
  );
  const torch = (await findTorch({ ...nothing, python: file }, plan)) as Torch;
  expect(torch).toMatchObject({ python: file, version: "9.9", own: true });
  const times = await measureTorch(torch, plan, process.env);
  expect(times).toEqual({ imagesPerSecond: 123.5, cpuMilliseconds: 7.25, loss: 2.5, notices: [] });
});

test("a program of the user gets model, batch, threads and precision alone", async () => {
  const program = join(folder, "own.py");
  writeFileSync(program, "");
  const file = python("custom", "echo 1", 'test "$*" = "$1 resnet20 8 1 bf16" && echo "speed img/s=64"');
  const torch = (await findTorch({ ...nothing, python: file, program }, plan)) as Torch;
  const times = await measureTorch(torch, plan, process.env);
  expect(times).toMatchObject({ imagesPerSecond: 64, cpuMilliseconds: undefined });
  await expect(
    findTorch({ ...nothing, python: file, program }, { ...plan, usualInput: false }),
  ).rejects.toThrow(/--torch-step has sizes of its own/);
});

test("a Python without PyTorch is left out when the environment names it, and an error on the command line", async () => {
  const file = python("bare", "echo \"ModuleNotFoundError: No module named 'torch'\" >&2; exit 1");
  const reason = "can't import torch (ModuleNotFoundError: No module named 'torch')";
  expect(await findTorch({ ...nothing, environmentPython: file }, plan)).toEqual({
    skipped: `DOWNPOUR_PYTHON ${file}: ${reason}`,
  });
  await expect(findTorch({ ...nothing, python: file }, plan)).rejects.toMatchObject({
    code: "environment",
    message: `--python ${file}: ${reason}`,
  });
});

test("a program that fails, is killed or prints no figure is an error that says so", async () => {
  const failureOf = async (name: string, runs: string): Promise<unknown> => {
    const torch = (await findTorch({ ...nothing, python: python(name, "echo 1", runs) }, plan)) as Torch;
    return await measureTorch(torch, plan, process.env).catch((error: unknown) => error);
  };
  expect(await failureOf("fails", "echo no such option >&2; exit 3")).toMatchObject({
    code: "environment",
    message: "PyTorch: ended with status 3 no such option",
  });
  expect(await failureOf("killed", "kill -9 $$")).toMatchObject({
    code: "resourceExhausted",
    message: "PyTorch: the process ran out of memory at --batch 8; choose a smaller --batch",
  });
  expect(await failureOf("silent", "echo hello")).toMatchObject({
    message: expect.stringMatching(/expected a line with img\/s=NUMBER, found hello$/),
  });
});
