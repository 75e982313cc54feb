import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { DownpourError } from "@downpour/errors";
import type { ComputePlan, ProgramTimes } from "./compute-plan.ts";
import { lostProcess, measurementTimeoutMs, type SizeOption } from "./measure-process.ts";

/** A program of this project's repository. */
export function torchProgramFile(name: string): string {
  return fileURLToPath(new URL(`../../../../bench/${name}`, import.meta.url));
}

/** The same step in PyTorch. */
const ownProgram = torchProgramFile("torch_step.py");

/** Networks that it has, layer by layer as the zoo builds them. */
export const ownProgramModels: readonly string[] = ["lenet5", "cifar-cnn", "resnet20"];

/** Longest wait for Python to say whether it has PyTorch. */
const importTimeoutMs = 120_000;

/** What the user says of a Python with PyTorch. */
export interface PythonWish {
  /** From the command line; then it has to work. */
  readonly python: string | undefined;
  /** From the environment; then it may be missing. */
  readonly environmentPython: string | undefined;
}

/** What the user says of PyTorch. */
export interface TorchWish extends PythonWish {
  /** A program in place of the project's own: MODEL BATCH THREADS [bf16]; prints img/s=NUMBER. */
  readonly program: string | undefined;
}

/** A Python that has PyTorch, and the program to run. */
export interface Torch {
  readonly python: string;
  readonly program: string;
  readonly version: string;
  /** Whether the program is this project's, which takes sizes and steps too. */
  readonly own: boolean;
}

/**
 * Finds PyTorch, or says why it is left out.
 * @throws usage, environment: a Python named on the command line can't be used
 */
export async function findTorch(wish: TorchWish, plan: ComputePlan): Promise<Torch | { skipped: string }> {
  const { program = ownProgram } = wish;
  if (wish.python === undefined && wish.environmentPython === undefined && wish.program !== undefined) {
    throw new DownpourError("usage", "--torch-step needs --python, a Python that has PyTorch");
  }
  const own = wish.program === undefined;
  const found = await findPython(wish, programProblem(program, own, plan));
  return "skipped" in found ? found : { ...found, program, own };
}

/**
 * Finds a Python with PyTorch, or says why it is left out.
 * @param unfit why it would be of no use
 * @throws usage, environment: a Python named on the command line can't be used
 */
export async function findPython(
  wish: PythonWish,
  unfit?: string,
): Promise<{ python: string; version: string } | { skipped: string }> {
  const { python = wish.environmentPython } = wish;
  if (python === undefined) {
    return { skipped: "name a Python that has it with --python or DOWNPOUR_PYTHON" };
  }
  const found = unfit ?? (await importTorch(python));
  if (typeof found !== "string") return { python, version: found.version };
  if (wish.python === undefined) return { skipped: `DOWNPOUR_PYTHON ${python}: ${found}` };
  const code = unfit === undefined ? "environment" : "usage";
  throw new DownpourError(code, `--python ${python}: ${found}`);
}

/** Why a program can't compute the plan. */
function programProblem(
  program: string,
  own: boolean,
  { name, usualInput }: ComputePlan,
): string | undefined {
  if (!existsSync(program)) return `${program} is not there; name a program of your own with --torch-step`;
  if (own && !ownProgramModels.includes(name)) {
    return `this project's program has ${ownProgramModels.join(", ")}, not ${name}; name your own with --torch-step`;
  }
  if (!own && !usualInput)
    return "--torch-step has sizes of its own; leave out --height, --width and --classes";
  return undefined;
}

/** The version, or why there is none. */
async function importTorch(python: string): Promise<string | { version: string }> {
  try {
    const args = ["-c", "import torch; print(torch.__version__)"];
    const { stdout } = await promisify(execFile)(python, args, { timeout: importTimeoutMs });
    return { version: stdout.trim() };
  } catch (error) {
    const { code, stderr } = error as { code?: unknown; stderr?: string };
    if (code === "ENOENT") return "there is no such program";
    return `can't import torch (${stderr?.trim().split("\n").at(-1) || "it said nothing"})`;
  }
}

/**
 * Runs the program once in a fresh process.
 * @throws resourceExhausted: out of memory; environment: it fails or prints no figure
 */
export async function measureTorch(
  { python, program, own }: Torch,
  plan: ComputePlan,
  env: Readonly<Record<string, string | undefined>>,
): Promise<ProgramTimes> {
  const { name, input, batchSize, threads, precision, steps, warmupSteps } = plan;
  const { height, width, channels, classCount } = input;
  const sizes = ["--height", height, "--width", width, "--channels", channels, "--classes", classCount];
  const args = [
    program,
    ...[name, batchSize, threads, ...(precision === "bf16" ? ["bf16"] : [])],
    ...(own ? [...sizes, "--steps", steps, "--warmup", warmupSteps] : []),
  ].map(String);
  const size = { option: "--batch", value: batchSize };
  const figure = await runTorch({ python, args, size, env }, "img/s");
  return {
    imagesPerSecond: figure("img/s") ?? Number.NaN,
    cpuMilliseconds: figure("cpu_ms"),
    loss: figure("loss"),
    notices: [],
  };
}

/** A program in Python, in a fresh process. */
export interface TorchRun {
  readonly python: string;
  /** The program and its arguments. */
  readonly args: readonly string[];
  /** The option of the command line that decides how much memory it needs. */
  readonly size: SizeOption;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/**
 * Runs a program that prints figures as KEY=NUMBER, and returns a function that finds them by key.
 * @param required the figure that it must print, above 0
 * @throws resourceExhausted: out of memory; environment: it fails or prints no such figure
 */
export async function runTorch(
  { python, args, size, env }: TorchRun,
  required: string,
): Promise<(key: string) => number | undefined> {
  let output: string;
  try {
    const { stdout } = await promisify(execFile)(python, args, { env, timeout: measurementTimeoutMs });
    output = stdout;
  } catch (error) {
    const {
      code,
      signal = null,
      stderr = "",
    } = error as { code?: unknown; signal?: string | null; stderr?: string };
    const status = typeof code === "number" ? code : null;
    const lost = lostProcess("PyTorch", size, { status, signal, errors: stderr });
    throw lost.code === "internal" ? new DownpourError("environment", lost.message) : lost;
  }
  const figure = (key: string) => {
    const text = new RegExp(`(?:^|\\s)${key}=([0-9.eE+-]+)`, "m").exec(output)?.[1];
    return text === undefined ? undefined : Number(text);
  };
  if ((figure(required) ?? 0) > 0) return figure;
  throw new DownpourError(
    "environment",
    `${args[0]}: expected a line with ${required}=NUMBER, found ${output.trim()}`,
  );
}
