import { resolve } from "node:path";
import { type ProgressEvent, verifyDataset } from "@downpour/datasets";
import { DownpourError } from "@downpour/errors";
import { checkJob, type Job, type JobInput, loadOptionsOf } from "@downpour/job";
import {
  type Identity,
  type IdentityFiles,
  type JobSummary,
  loadIdentity,
  type TimedJobEvent,
} from "@downpour/protocol";
import { makeRunDirectory, type RunDirectory, reuseRunDirectory } from "./commands/run-directory.ts";
import { readConfig } from "./config.ts";
import { EventStream } from "./event-stream.ts";
import { LocalCluster } from "./local-cluster.ts";
import { type WatchOptions, watchJob } from "./watch-job.ts";

/** After the job has ended, its processes get so long to end by themselves. */
const settleMs = 3000;

/** When the coordinator is lost, the cluster is about to say why; it gets so long to. */
const explainMs = 1000;

export interface LaunchOptions {
  /** Folder of the run; `runs/<job>-<date>-<time>` below the working directory when left out. */
  readonly runDirectory?: string | undefined;
  /** Where downloads are kept; the user's cache folder when left out. */
  readonly cacheDirectory?: string | undefined;
  /** The run in `runDirectory` goes on from its newest checkpoint. */
  readonly resume?: boolean;
  /** Certificates and join token for all processes; plain text when left out. */
  readonly identity?: IdentityFiles | undefined;
  /** Ends all processes when it aborts; the summary then rejects. */
  readonly signal?: AbortSignal | undefined;
  /** How far the fetching of a data set is. */
  readonly onFetch?: ((progress: ProgressEvent) => void) | undefined;
  /** Something that people should know: a worker was replaced, a member computes otherwise than asked. */
  readonly onWarning?: ((text: string) => void) | undefined;
  /** Told the address of the live page. */
  readonly onPage?: ((url: string) => void) | undefined;
}

/** A job that trains on this machine, with all its processes. */
export interface LaunchedJob {
  /** With all defaults filled in. */
  readonly job: Job;
  readonly runDirectory: string;
  /** Everything that happens, from the beginning, until the job has ended; may be read more than once. */
  readonly events: AsyncIterable<TimedJobEvent>;
  /**
   * The results, when all processes have ended.
   * Rejects with jobFailed when the job failed, and with what else went wrong (a `DownpourError`).
   */
  readonly summary: Promise<JobSummary>;
  /** Ends all processes; resolves when none is left. */
  stop(): Promise<void>;
}

/** A job with the types of its keys, for editors; docs/job-file.md lists them. Checked by {@link launch}. */
export function defineJob(job: JobInput): JobInput {
  return job;
}

/**
 * Trains a job with all its roles on this machine, as `downpour train` does.
 *
 * @returns as soon as the processes are started
 * @throws usage: the job can't be, the run directory is taken; notFound, corruptData: its data
 */
export async function launch(job: JobInput | Job, options: LaunchOptions = {}): Promise<LaunchedJob> {
  const { signal, onFetch, identity, resume = false, onWarning = () => undefined } = options;
  // What is wrong with it is said before anything starts.
  const own = await loadIdentity(identity, "admin");
  const resolved = withAbsoluteModule(checkJob(job, `the job ${job.name}`));
  const cacheDirectory = options.cacheDirectory ?? readConfig().cacheDirectory;
  await verifyDataset(resolved.data.set, {
    ...loadOptionsOf(resolved, { cacheDirectory, dataDirectory: undefined }),
    onProgress: onFetch,
  });
  if (signal?.aborted) throw stopped();
  const { runDirectory, onPage = () => undefined } = options;
  const run =
    resume && runDirectory !== undefined
      ? await reuseRunDirectory(resolved, resolve(runDirectory), new Date())
      : await makeRunDirectory(resolved, runDirectory, new Date());
  const cluster = new LocalCluster({
    job: resolved,
    identity,
    resume,
    onPage,
    jobFile: run.jobFile,
    runDirectory: run.path,
    logDirectory: run.logDirectory,
    onWarning,
  });
  return follow(cluster, resolved, run, { signal, identity: own });
}

function follow(
  cluster: LocalCluster,
  job: Job,
  run: RunDirectory,
  { signal, identity }: { readonly signal: AbortSignal | undefined; readonly identity: Identity },
): LaunchedJob {
  const events = new EventStream<TimedJobEvent>();
  const stop = new AbortController();
  const isStopped = new Promise<never>((_, reject) => {
    stop.signal.addEventListener("abort", () => reject(stopped()), { once: true });
  });
  isStopped.catch(() => undefined); // the summary says it
  const onAbort = () => stop.abort();
  signal?.addEventListener("abort", onAbort, { once: true });
  if (signal?.aborted) onAbort();

  const summary = (async () => {
    const watching = watch(cluster, (event) => events.push(event), {
      signal: stop.signal,
      giveUpAfterMs: job.cluster.recoveryTimeoutMs,
      identity,
    });
    watching.catch(() => undefined); // it fails too when the cluster does, which says why
    try {
      const end = await Promise.race([watching, cluster.failed, isStopped]);
      if (end.outcome === "failed") {
        throw new DownpourError(
          "jobFailed",
          `${end.message ?? "the job failed"} (logs: ${run.logDirectory})`,
        );
      }
      await cluster.settle(settleMs);
      return end;
    } finally {
      signal?.removeEventListener("abort", onAbort);
      await cluster.stop();
    }
  })();
  summary.then(
    () => events.end(),
    (error: unknown) => events.end(error),
  );
  return {
    job,
    runDirectory: run.path,
    events,
    summary,
    stop: async () => {
      stop.abort();
      await summary.catch(() => undefined);
    },
  };
}

/** The job's summary. */
async function watch(
  cluster: LocalCluster,
  onEvent: (event: TimedJobEvent) => void,
  options: WatchOptions,
): Promise<JobSummary> {
  const address = await cluster.start();
  try {
    return await watchJob(address, onEvent, options);
  } catch (error) {
    const moment = new Promise<never>((_, reject) => setTimeout(() => reject(error), explainMs).unref());
    return await Promise.race([cluster.failed, moment]);
  }
}

function stopped(): DownpourError {
  return new DownpourError("jobFailed", "the job was stopped before it had ended");
}

/** Other processes read the job from elsewhere. */
function withAbsoluteModule(job: Job): Job {
  if (job.model.name !== "module") return job;
  return { ...job, model: { ...job.model, path: resolve(job.model.path) } };
}
