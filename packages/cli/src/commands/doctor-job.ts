import { totalmem } from "node:os";
import { type Job, readJob } from "@downpour/job";
import { elementCount } from "@downpour/parameter-vector";
import { tableLines } from "../bench/table.ts";
import { stdoutColours as pc } from "../colours.ts";
import type { CliConfig } from "../config.ts";
import { shapeOfData } from "../memory/data-shape.ts";
import { type JobMemory, jobMemory, type ProcessMemory, type ServerEstimator } from "../memory/job-memory.ts";
import { modelMemory } from "../memory/manifest-of-job.ts";
import type { Reporter } from "../reporter.ts";
import { overridesOf, type TrainOptions } from "./train-options.ts";

export interface DoctorJobTools {
  readonly estimate: ServerEstimator;
  readonly config: CliConfig;
  readonly reporter: Reporter;
}

/**
 * `downpour doctor JOB`: what the job's processes will take in memory, and how many servers and apply threads hold its
 * slices. Returns the exit status: 0 when all of it fits this machine.
 */
export async function doctorJob(
  jobFile: string,
  options: TrainOptions,
  { estimate, config, reporter }: DoctorJobTools,
): Promise<number> {
  const job = await readJob(jobFile, overridesOf(options, config));
  const { manifest, activations } = await modelMemory(job, await shapeOfData(job, config));
  const memory = jobMemory(job, manifest, activations, estimate);
  const parameters = manifest.tensors.reduce((sum, { shape }) => sum + elementCount(shape), 0);
  const { summary, lines } = describeMemory(job, parameters, memory, machineMemory());
  reporter.result(summary, lines);
  return summary.ok ? 0 : 1;
}

/** What to say of a job's memory, to programs and to people. */
export function describeMemory(
  job: Job,
  parameters: number,
  memory: JobMemory,
  machineBytes: number,
): { summary: { readonly ok: boolean; readonly [fact: string]: unknown }; lines: string[] } {
  const { server, servers, serversNeeded, worker, evaluator } = memory;
  const { workers, applyThreads } = job.cluster;
  const fits = memory.totalBytes <= machineBytes;
  const ok = fits && serversNeeded === servers;
  const head =
    `${job.name}: ${job.model.name} on ${job.data.set.name}, ${parameters.toLocaleString("en-US")} parameters ` +
    `in ${memory.slices} slices; ${job.optimizer.name}, ${job.consistency.kind}, staleness policy ${job.staleness.policy}`;
  const lines = [
    head,
    "",
    ...(server === null
      ? []
      : processLines(
          `Each of ${serversNeeded} servers, with ${server.applyThreads} apply thread${server.applyThreads === 1 ? "" : "s"}`,
          server,
        )),
    ...processLines(`Each of ${workers} workers, with batches of ${job.data.batchSize}`, worker),
    ...processLines("The evaluator", evaluator),
    `All of them together: about ${sizeText(memory.totalBytes)}, besides what Node.js and TensorFlow need in each ` +
      `process; this machine has ${sizeText(machineBytes)}`,
    ...problems(memory, fits).map((text) => pc.red(text)),
  ];
  if (server !== null && server.applyThreads > applyThreads) {
    lines.push(
      `A server starts ${server.applyThreads} apply threads instead of cluster.applyThreads ${applyThreads}: one memory ` +
        "does not hold its slices",
    );
  }
  return { summary: { ok, fits, job: job.name, parameters, machineBytes, workers, ...memory }, lines };
}

function problems({ servers, serversNeeded }: JobMemory, fits: boolean): string[] {
  const found: string[] = [];
  if (serversNeeded === null) {
    found.push("No number of servers holds the slices: choose a smaller model or fewer workers");
  } else if (serversNeeded > servers) {
    found.push(`${servers} servers do not hold the slices: set cluster.servers to ${serversNeeded} or more`);
  }
  if (!fits) {
    found.push(
      "It does not fit this machine: take fewer workers, a smaller data.batchSize, or more machines",
    );
  }
  return found;
}

function processLines(title: string, { parts, totalBytes }: ProcessMemory): string[] {
  const rows = parts.map(({ name, bytes }) => [`  ${name}`, sizeText(bytes)]);
  return [...tableLines([[title, ""], ...rows, ["  together", sizeText(totalBytes)]]), ""];
}

/** Bytes as people say them: 1536 is "1.5 KiB". */
export function sizeText(bytes: number): string {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  const power = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, bytes)) / 10));
  const value = bytes / 1024 ** power;
  return `${value.toFixed(power === 0 || value >= 100 ? 0 : 1)} ${units[power]}`;
}

/** Bytes that processes here may use: the machine's, or less in a container with a limit. */
function machineMemory(): number {
  const limit = process.constrainedMemory();
  return limit > 0 ? Math.min(limit, totalmem()) : totalmem();
}
