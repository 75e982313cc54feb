import { relative } from "node:path";
import { type ProgressEvent, verifyDataset } from "@downpour/datasets";
import { DownpourError } from "@downpour/errors";
import { type Job, loadOptionsOf, readJob } from "@downpour/job";
import { type IdentityFiles, type JobSummary, loadIdentity } from "@downpour/protocol";
import type { CliConfig } from "../config.ts";
import { LocalCluster } from "../local-cluster.ts";
import { durationText, percentText } from "../progress-text.ts";
import type { Reporter } from "../reporter.ts";
import { stopSignal } from "../stop-signal.ts";
import { watchJob } from "../watch-job.ts";
import { identityOf } from "./identity-options.ts";
import { makeRunDirectory, type RunDirectory, reuseRunDirectory } from "./run-directory.ts";
import { overridesOf, type TrainOptions } from "./train-options.ts";

/** After the job has ended, its processes get so long to end by themselves. */
const settleMs = 3000;

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
  const verifying = verifyDataset(job.data.set, {
    ...loadOptionsOf(job, { cacheDirectory: config.cacheDirectory, dataDirectory: undefined }),
    onProgress: fetchNotes(reporter),
  });
  if ((await Promise.race([verifying, interrupted])) === "interrupted") {
    return reportInterrupted(reporter, undefined);
  }
  const identity = identityOf(options);
  // What is wrong with it is said before anything starts.
  await loadIdentity(identity, "admin");
  const run =
    runToResume === undefined
      ? await makeRunDirectory(job, options.runDir, new Date())
      : await reuseRunDirectory(job, runToResume);
  reporter.note(startText(job, run));
  const cluster = new LocalCluster({
    job,
    identity,
    resume: runToResume !== undefined,
    jobFile: run.jobFile,
    runDirectory: run.path,
    logDirectory: run.logDirectory,
    onWarning: (text) => reporter.warn(text),
    onPage: (url) => reporter.note(`live page: ${url}`),
  });
  try {
    const following = follow(cluster, { job, identity }, reporter, stop);
    following.catch(() => undefined); // it fails too when the cluster does, which says why
    const end = await Promise.race([following, cluster.failed, interrupted]);
    if (end === "interrupted") return reportInterrupted(reporter, run.path);
    if (end.outcome === "failed") {
      throw new DownpourError("jobFailed", `${end.message ?? "the job failed"} (logs: ${run.logDirectory})`);
    }
    await cluster.settle(settleMs);
    const wallSeconds = (performance.now() - startMs) / 1000;
    const facts = {
      job: job.name,
      seed: job.seed,
      workers: job.cluster.workers,
      servers: job.cluster.servers,
    };
    reporter.result(
      { ...facts, ...end, wallSeconds, runDirectory: run.path },
      resultLines(jobFile, end, wallSeconds),
    );
    return 0;
  } finally {
    await cluster.stop();
  }
}

function reportInterrupted(reporter: Reporter, runDirectory: string | undefined): number {
  const summary = { outcome: "interrupted", ...(runDirectory === undefined ? {} : { runDirectory }) };
  reporter.result(summary, ["interrupted; stopping all processes"]);
  return interruptedStatus;
}

/** How often a download is spoken of. */
const fetchNoteIntervalMs = 2000;

/** Says how far a download is, now and then. */
function fetchNotes(reporter: Reporter): (event: ProgressEvent) => void {
  let notedMs = performance.now();
  return ({ what, doneBytes, totalBytes }) => {
    if (performance.now() - notedMs < fetchNoteIntervalMs) return;
    notedMs = performance.now();
    const megabytes = (bytes: number) => (bytes / 1e6).toFixed(1);
    const total = totalBytes === undefined ? "" : ` of ${megabytes(totalBytes)}`;
    reporter.note(`fetching ${what}: ${megabytes(doneBytes)}${total} MB`);
  };
}

/**
 * The job's summary. When the coordinator is lost the cluster is about to say why, so it gets a moment to.
 */
async function follow(
  cluster: LocalCluster,
  { job, identity }: { readonly job: Job; readonly identity: IdentityFiles | undefined },
  reporter: Reporter,
  stop: AbortSignal,
): Promise<JobSummary> {
  const address = await cluster.start();
  try {
    return await watchJob(address, (event) => reporter.event(event), {
      signal: stop,
      giveUpAfterMs: job.cluster.recoveryTimeoutMs,
      identity: await loadIdentity(identity, "admin"),
    });
  } catch (error) {
    const moment = new Promise<never>((_, reject) => setTimeout(() => reject(error), 1000).unref());
    return await Promise.race([cluster.failed, moment]);
  }
}

function startText(job: Job, run: RunDirectory): string {
  const { workers, servers } = job.cluster;
  const plural = (count: number, what: string) => `${count} ${what}${count === 1 ? "" : "s"}`;
  return (
    `${job.name}: ${job.model.name} on ${job.data.set.name}, ${plural(workers, "worker")}, ` +
    `${plural(servers, "parameter server")}; run directory ${relative(process.cwd(), run.path) || "."}`
  );
}

function resultLines(jobFile: string, summary: JobSummary, wallSeconds: number): string[] {
  const model = summary.modelDirectory === null ? "–" : relative(process.cwd(), summary.modelDirectory);
  const next = jobFile.includes("digits")
    ? "npx downpour train examples/mnist-lenet5.yaml (real digits), or --workers 4 to add workers"
    : `npx downpour train ${jobFile} --seed 2, or --workers 4 to add workers`;
  return [
    `test accuracy ${percentText(summary.testAccuracy)}`,
    `model         ${model} (model.json for TensorFlow.js, model.safetensors for Python)`,
    `took          ${durationText(wallSeconds)}`,
    `next          ${next}`,
  ];
}
