import { relative } from "node:path";
import { type Job, readJob } from "@downpour/job";
import type { JobSummary } from "@downpour/protocol";
import type { CliConfig } from "../config.ts";
import { type LaunchedJob, launch } from "../launch.ts";
import { durationText, percentText } from "../progress-text.ts";
import type { Reporter } from "../reporter.ts";
import { stopSignal } from "../stop-signal.ts";
import { identityOf } from "./identity-options.ts";
import { overridesOf, type TrainOptions } from "./train-options.ts";

/** Status of a command that was interrupted, as shells have it: 128 + SIGINT. */
const interruptedStatus = 130;

/**
 * `downpour train JOB`: runs all roles on this machine until the job ends. Returns the exit status.
 * @param runToResume the run that goes on, whose job file it is
 */
export async function train(
  jobFile: string,
  options: TrainOptions,
  config: CliConfig,
  reporter: Reporter,
  runToResume?: string,
): Promise<number> {
  const stop = stopSignal();
  const interrupted = new Promise<"interrupted">((resolve) => {
    stop.addEventListener("abort", () => resolve("interrupted"), { once: true });
  });
  const startMs = performance.now();
  const job = await readJob(jobFile, overridesOf(options, config));
  const run = await Promise.race([
    launch(job, {
      runDirectory: runToResume ?? options.runDir,
      resume: runToResume !== undefined,
      identity: identityOf(options),
      cacheDirectory: config.cacheDirectory,
      signal: stop,
      onFetch: ({ what, doneBytes: done, totalBytes: total }) =>
        reporter.task({ what: `fetching ${what}`, done, total, unit: "bytes" }),
      onWarning: (text) => reporter.warn(text),
      onPage: (url) => reporter.note(`live page: ${url}`),
    }),
    interrupted,
  ]);
  if (run === "interrupted") return reportInterrupted(reporter, undefined);
  reporter.note(startText(job, run.runDirectory));
  try {
    const end = await Promise.race([follow(run, reporter), interrupted]);
    if (end === "interrupted") return reportInterrupted(reporter, run.runDirectory);
    const wallSeconds = (performance.now() - startMs) / 1000;
    const facts = {
      job: job.name,
      seed: job.seed,
      workers: job.cluster.workers,
      servers: job.cluster.servers,
    };
    reporter.result(
      { ...facts, ...end, wallSeconds, runDirectory: run.runDirectory },
      resultLines(jobFile, end, wallSeconds, run.runDirectory),
    );
    return 0;
  } finally {
    await run.stop();
  }
}

/** Tells what happens, until all processes have ended. */
async function follow(run: LaunchedJob, reporter: Reporter): Promise<JobSummary> {
  for await (const event of run.events) reporter.event(event);
  return await run.summary;
}

function reportInterrupted(reporter: Reporter, runDirectory: string | undefined): number {
  const summary = { outcome: "interrupted", ...(runDirectory === undefined ? {} : { runDirectory }) };
  reporter.result(summary, ["interrupted; stopping all processes"]);
  return interruptedStatus;
}

function startText(job: Job, runDirectory: string): string {
  const { workers, servers } = job.cluster;
  const plural = (count: number, what: string) => `${count} ${what}${count === 1 ? "" : "s"}`;
  return (
    `${job.name}: ${job.model.name} on ${job.data.set.name}, ${plural(workers, "worker")}, ` +
    `${plural(servers, "parameter server")}; run directory ${relative(process.cwd(), runDirectory) || "."}`
  );
}

function resultLines(
  jobFile: string,
  summary: JobSummary,
  wallSeconds: number,
  runDirectory: string,
): string[] {
  const model = summary.modelDirectory === null ? "–" : relative(process.cwd(), summary.modelDirectory);
  const run = relative(process.cwd(), runDirectory) || ".";
  const next = jobFile.includes("digits")
    ? "npx downpour train examples/mnist-lenet5.yaml (real digits), or --workers 4 to add workers"
    : `npx downpour train ${jobFile} --seed 2, or --workers 4 to add workers`;
  return [
    `test accuracy ${percentText(summary.testAccuracy)}`,
    `model         ${model} (model.json for TensorFlow.js, model.safetensors for Python)`,
    `took          ${durationText(wallSeconds)}`,
    `use it        npx downpour predict IMAGE... --model ${run}`,
    `next          ${next}`,
  ];
}
