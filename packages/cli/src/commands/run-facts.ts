import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { cpus, hostname, totalmem } from "node:os";
import type { Job } from "@downpour/job";
import { linkedTensorflowVersion } from "@downpour/worker/setup";
import { version } from "../version.ts";

/** What `run.json` says of a run: all that decides its results besides the job and the data. */
export interface RunFacts {
  readonly job: string;
  /** Decides initial weights, splits, order of examples, augmentation and dropout. */
  readonly seed: number;
  /** ISO 8601. */
  readonly startedAt: string;
  /** The arguments of the command, or of the program that launched it. */
  readonly arguments: readonly string[];
  readonly versions: {
    readonly downpour: string;
    readonly node: string;
    readonly tfjs: string;
    /** null where TensorFlow is not linked, or its version is not known. */
    readonly libtensorflow: string | null;
  };
  readonly machine: {
    readonly host: string;
    readonly platform: string;
    readonly processor: string;
    readonly cores: number;
    readonly memoryBytes: number;
  };
}

/** The facts of a run that begins on this machine. */
export function runFacts(job: Job, now: Date): RunFacts {
  const processors = cpus();
  return {
    job: job.name,
    seed: job.seed,
    startedAt: now.toISOString(),
    arguments: process.argv.slice(2),
    versions: {
      downpour: version,
      node: process.versions.node,
      tfjs: tfjsVersion(),
      libtensorflow: linkedTensorflowVersion() ?? null,
    },
    machine: {
      host: hostname(),
      platform: `${process.platform}-${process.arch}`,
      processor: processors[0]?.model ?? "unknown",
      cores: processors.length,
      memoryBytes: totalmem(),
    },
  };
}

/** Without loading it, which would take a second. */
function tfjsVersion(): string {
  const file = createRequire(import.meta.url).resolve("@tensorflow/tfjs/package.json");
  return (JSON.parse(readFileSync(file, "utf8")) as { version: string }).version;
}
