import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DownpourError } from "@downpour/errors";
import type { Job } from "@downpour/job";
import {
  type CoordinatorCaller,
  connectCoordinator,
  type JobEvent,
  type TimedJobEvent,
} from "@downpour/protocol";
import { makeRunDirectory } from "../commands/run-directory.ts";
import { LocalCluster } from "../local-cluster.ts";
import { watchJob } from "../watch-job.ts";

/** Batches of each worker before anything is measured: in the first ones graphs are made. */
const warmupBatches = 10;

/** Longest that a checkpoint may take. */
const checkpointTimeoutMs = 10 * 60_000;

/** Examples that were counted up to the time of an event. */
export interface Progress {
  readonly timeMs: number;
  readonly examples: number;
}

type Of<Type extends JobEvent["type"]> = Extract<JobEvent, { type: Type }>;

/** A job that trains without end, seen through its events while something is measured. */
export class Training {
  readonly #coordinator: CoordinatorCaller;
  readonly #job: Job;
  readonly #waiting = new Set<(event: TimedJobEvent) => void>();
  readonly #failed: Promise<never>;
  readonly #seen = new Map<JobEvent["type"], number>();

  constructor(coordinator: CoordinatorCaller, job: Job, failed: Promise<never>) {
    this.#coordinator = coordinator;
    this.#job = job;
    this.#failed = failed;
  }

  observe(timed: TimedJobEvent): void {
    this.#seen.set(timed.event.type, (this.#seen.get(timed.event.type) ?? 0) + 1);
    for (const look of [...this.#waiting]) look(timed);
  }

  /** Resolves when all members are there and warm, and what training begins with is done. */
  async underWay(): Promise<void> {
    const { cluster, data } = this.#job;
    const first: JobEvent["type"][] = [
      "checkpointed",
      ...(cluster.replicas > 0 ? ["replicasInStep" as const] : []),
    ];
    for (const type of first) if (!this.#seen.has(type)) await this.#next(type, () => true);
    const examples = warmupBatches * cluster.workers * data.batchSize;
    await this.#next(
      "progress",
      ({ workers, examplesCounted }) => workers === cluster.workers && examplesCounted >= examples,
    );
  }

  /** Examples per second, over so many seconds or a little more. */
  async examplesPerSecond(seconds: number): Promise<number> {
    const begin = await this.#progress(() => true);
    const endMs = begin.timeMs + seconds * 1000;
    const end = await this.#progress(({ timeMs, examples }) => timeMs >= endMs && examples > begin.examples);
    return speedBetween(begin, end);
  }

  /** The same, while one checkpoint is written after the other: each moment lies between a request and a commit. */
  async examplesPerSecondWriting(
    seconds: number,
  ): Promise<{ speed: number; checkpoints: Of<"checkpointed">[] }> {
    const checkpoints: Of<"checkpointed">[] = [];
    let over = false;
    const writeAll = async () => {
      while (!over) {
        const written = this.#next("checkpointed", () => true);
        await this.#coordinator.call("Checkpoint", {}, checkpointTimeoutMs);
        checkpoints.push((await written).event as Of<"checkpointed">);
      }
    };
    const writing = writeAll();
    writing.catch(() => undefined);
    const speed = await Promise.race([
      this.examplesPerSecond(seconds),
      writing.then(() => new Promise<never>(() => undefined)),
    ]);
    over = true;
    await writing;
    return { speed, checkpoints };
  }

  async #progress(accept: (progress: Progress) => boolean): Promise<Progress> {
    let progress: Progress = { timeMs: 0, examples: 0 };
    await this.#next("progress", ({ examplesCounted }, timeMs) => {
      progress = { timeMs, examples: examplesCounted };
      return accept(progress);
    });
    return progress;
  }

  /** The next event of a type that is accepted. @throws as the cluster does when it can't go on */
  #next<Type extends JobEvent["type"]>(
    type: Type,
    accept: (event: Of<Type>, timeMs: number) => boolean,
  ): Promise<TimedJobEvent> {
    const found = new Promise<TimedJobEvent>((resolve) => {
      const look = (timed: TimedJobEvent) => {
        if (timed.event.type !== type || !accept(timed.event as Of<Type>, timed.timeMs)) return;
        this.#waiting.delete(look);
        resolve(timed);
      };
      this.#waiting.add(look);
    });
    return Promise.race([found, this.#failed]);
  }
}

/** Examples per second between two times. */
export function speedBetween(begin: Progress, end: Progress): number {
  return (1000 * (end.examples - begin.examples)) / (end.timeMs - begin.timeMs);
}

/**
 * Runs a real cluster, each role a process, while something is measured.
 * @throws as the cluster; jobFailed: the job ended
 */
export async function withTrainingCluster<Result>(
  job: Job,
  onWarning: (text: string) => void,
  measure: (training: Training) => Promise<Result>,
): Promise<Result> {
  const folder = await mkdtemp(join(tmpdir(), "downpour-bench-"));
  const run = await makeRunDirectory(job, join(folder, "run"), new Date());
  const cluster = new LocalCluster({
    ...{ job, jobFile: run.jobFile, runDirectory: run.path, logDirectory: run.logDirectory, onWarning },
  });
  const enough = new AbortController();
  try {
    const address = await cluster.start();
    const coordinator = connectCoordinator(address, checkpointTimeoutMs);
    let training: Training | undefined;
    const watched = watchJob(address, (event) => training?.observe(event), {
      signal: enough.signal,
      giveUpAfterMs: 0,
    }).then(({ message }): never => {
      throw new DownpourError(
        "jobFailed",
        `the benchmark's job ended early: ${message ?? "without a reason"}`,
      );
    });
    const failed = Promise.race([watched, cluster.failed]);
    failed.catch(() => undefined); // it is looked at by who waits for events
    training = new Training(coordinator, job, failed);
    try {
      return await measure(training);
    } finally {
      coordinator.close();
    }
  } finally {
    enough.abort();
    await cluster.stop();
    await rm(folder, { recursive: true, force: true });
  }
}
