import { resolve } from "node:path";
import { DownpourError, messageOf } from "@downpour/errors";
import type { Override } from "@downpour/job";
import { parse } from "yaml";
import type { CliConfig } from "../config.ts";
import type { IdentityOptions } from "./identity-options.ts";

/** Options of `downpour train` as commander hands them over: text, or undefined where not given. */
export interface TrainOptions extends IdentityOptions {
  readonly workers?: string;
  readonly servers?: string;
  readonly epochs?: string;
  readonly batchSize?: string;
  readonly learningRate?: string;
  readonly seed?: string;
  readonly targetAccuracy?: string;
  readonly trainLimit?: string;
  readonly dataDir?: string;
  readonly device?: string;
  readonly port?: string;
  readonly set?: readonly string[];
  readonly runDir?: string;
}

/** Options that put one value in place of the job file's. */
const shortcuts = {
  workers: ["cluster", "workers"],
  servers: ["cluster", "servers"],
  port: ["cluster", "port"],
  epochs: ["training", "epochs"],
  targetAccuracy: ["training", "targetAccuracy"],
  batchSize: ["data", "batchSize"],
  trainLimit: ["data", "trainLimit"],
  learningRate: ["learningRate", "initial"],
  seed: ["seed"],
} as const satisfies Partial<Record<keyof TrainOptions, readonly string[]>>;

/**
 * What options and environment change in a job file. The schema checks the values afterwards, so an impossible
 * one is reported with its path like any other.
 *
 * @throws usage: `--set` without a path or a value
 */
export function overridesOf(
  options: TrainOptions,
  environment: Partial<Pick<CliConfig, "dataDirectory" | "device">>,
): Override[] {
  const overrides: Override[] = [];
  for (const [option, path] of Object.entries(shortcuts)) {
    const text = options[option as keyof typeof shortcuts];
    if (text !== undefined) overrides.push({ path, value: parseValue(text, `--${dashed(option)}`) });
  }
  for (const assignment of options.set ?? []) overrides.push(parseAssignment(assignment));
  const device = options.device ?? environment.device;
  if (device !== undefined) overrides.push({ path: ["worker", "device"], value: device });
  const directory = options.dataDir ?? environment.dataDirectory;
  if (directory !== undefined) overrides.push({ path: ["data", "directory"], value: resolve(directory) });
  return overrides;
}

/** "optimizer.momentum=0.5" as path and value; the value is YAML. */
function parseAssignment(assignment: string): Override {
  const at = assignment.indexOf("=");
  const path = assignment.slice(0, at).split(".");
  if (at < 1 || path.some((key) => key === "" || key === "__proto__")) {
    throw new DownpourError(
      "usage",
      `--set ${assignment}: expected PATH=VALUE, for example --set optimizer.momentum=0.5`,
    );
  }
  return { path, value: parseValue(assignment.slice(at + 1), `--set ${assignment.slice(0, at)}`) };
}

/** An option's text as a YAML value. @throws usage, naming option and text */
function parseValue(text: string, option: string): unknown {
  try {
    return parse(text) as unknown;
  } catch (error) {
    const reason = messageOf(error).split("\n")[0];
    throw new DownpourError("usage", `${option} ${text}: expected a number, a word or YAML (${reason})`);
  }
}

/** "batchSize" as it is written on the command line: "batch-size". */
function dashed(option: string): string {
  return option.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
