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
import { LocalCluster, type LocalClusterOptions } from "../local-cluster.ts";
import { watchJob } from "../watch-job.ts";

/** Batches of each worker before anything is measured: in the first ones graphs are made. */
const warmupBatches = 10;

/** Longest that a cluster may take beyond the time that was asked for: to be under way, or to count another batch. */
const patienceMs = 10 * 60_000;

/** Longest that a checkpoint may take. */
const checkpointTimeoutMs = 10 * 60_000;

/** What a cluster did between two progress events. */
export interface TrainingSpeed<Sample = undefined> {
  readonly examples: number;
  readonly examplesPerSecond: number;
  /** Of all pushes up to the end, in updates. */
  readonly stalenessMean: number;
  /** What was sampled at both ends. */
  readonly samples: readonly [Sample, Sample];
}

type Of<Type extends JobEvent["type"]> = Extract<JobEvent, { type: Type }>;

/** A job that trains without end, seen through its events while something is measured. */
export class Training {
  readonly #coordinator: Pick<CoordinatorCaller, "call">;
  readonly #job: Job;
  readonly #waiting = new Set<(event: TimedJobEvent) => void>();
  readonly #failed: Promise<never>;
  readonly #seen = new Set<JobEvent["type"]>();
  #joined = 0;

  /** @param failed rejects when the cluster can't go on */
  constructor(coordinator: Pick<CoordinatorCaller, "call">, job: Job, failed: Promise<never>) {
    this.#coordinator = coordinator;
    this.#job = job;
    this.#failed = failed;
  }

  /** Takes one event in; in order. */
  observe(timed: TimedJobEvent): void {
    const { event } = timed;
    this.#seen.add(event.type);
    if (event.type === "memberJoined" && ["worker", "evaluator"].includes(event.role)) this.#joined++;
    for (const look of [...this.#waiting]) look(timed);
  }

  /**
   * Resolves when all members are there and warm, what training begins with is done, and as many seconds have passed
   * since.
   * @throws deadlineExceeded: it takes too long
   */
  async underWay(warmupSeconds = 0): Promise<void> {
    const failed = this.#next("checkpointFailed", () => true).then(({ event }): never => {
      throw new DownpourError("jobFailed", `the first checkpoint could not be written: ${event.message}`);
    });
    const warm = await this.#soon(0, Promise.race([this.#warm(), failed]));
    const endMs = warm.timeMs + warmupSeconds * 1000;
    if (warmupSeconds > 0) {
      await this.#soon(
        warmupSeconds,
        this.#next("progress", (_, timeMs) => timeMs >= endMs),
      );
    }
  }

  /**
   * Speed over so many seconds or a little more.
   * @param sample called at the begin and at the end
   */
  async speed<Sample = undefined>(
    seconds: number,
    sample: () => Sample = () => undefined as Sample,
  ): Promise<TrainingSpeed<Sample>> {
    const begin = await this.#soon(
      0,
      this.#next("progress", () => true),
    );
    const first = sample();
    const { examplesCounted } = begin.event;
    const endMs = begin.timeMs + seconds * 1000;
    const isEnd = (progress: Of<"progress">, timeMs: number) =>
      timeMs >= endMs && progress.examplesCounted !== examplesCounted;
    const end = await this.#soon(seconds, this.#next("progress", isEnd));
    const last = sample();
    const examples = end.event.examplesCounted - examplesCounted;
    return {
      examples,
      examplesPerSecond: (1000 * examples) / (end.timeMs - begin.timeMs),
      stalenessMean: end.event.stalenessMean,
      samples: [first, last],
    };
  }

  /** The same, while one checkpoint is written after the other: each moment lies between a request and a commit. */
  async speedWriting(
    seconds: number,
  ): Promise<{ readonly speed: TrainingSpeed; readonly checkpoints: readonly Of<"checkpointed">[] }> {
    const checkpoints: Of<"checkpointed">[] = [];
    let over = false;
    const writeAll = async () => {
      while (!over) {
        const written = this.#next("checkpointed", () => true);
        await this.#coordinator.call("Checkpoint", {}, checkpointTimeoutMs);
        checkpoints.push((await written).event);
      }
    };
    const writing = writeAll();
    writing.catch(() => undefined);
    const speed = await Promise.race([
      this.speed(seconds),
      writing.then(() => new Promise<never>(() => undefined)),
    ]);
    over = true;
    await writing;
    return { speed, checkpoints };
  }

  /** The progress event at which all that comes first is over. */
  async #warm(): Promise<TimedJobEvent> {
    const { cluster, data } = this.#job;
    const first: JobEvent["type"][] = ["checkpointed"];
    if (cluster.replicas > 0) first.push("replicasInStep");
    // The evaluator is there from the start, too, and takes its time to load.
    const members = cluster.workers + 1;
    const examples = warmupBatches * cluster.workers * data.batchSize;
    return await this.#next("progress", ({ workers, examplesCounted }) => {
      const complete = this.#joined >= members && workers === cluster.workers;
      return complete && examplesCounted >= examples && first.every((type) => this.#seen.has(type));
    });
  }

  /** What should come in so many seconds. @throws deadlineExceeded: it takes far longer */
  async #soon<Event>(seconds: number, event: Promise<Event>): Promise<Event> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      const text = `the cluster trained too slowly to be measured for ${patienceMs / 60_000} minutes; choose a smaller --batch`;
      const fail = () => reject(new DownpourError("deadlineExceeded", text));
      timer = setTimeout(fail, patienceMs + seconds * 1000);
    });
    return await Promise.race([event, late]).finally(() => clearTimeout(timer));
  }

  /** The next event of a type that is accepted. @throws as the cluster does when it can't go on */
  async #next<Type extends JobEvent["type"]>(
    type: Type,
    accept: (event: Of<Type>, timeMs: number) => boolean,
  ): Promise<TimedJobEvent & { readonly event: Of<Type> }> {
    const found = new Promise<TimedJobEvent & { readonly event: Of<Type> }>((resolve) => {
      const look = (timed: TimedJobEvent) => {
        const event = timed.event as Of<Type>;
        if (event.type !== type || !accept(event, timed.timeMs)) return;
        this.#waiting.delete(look);
        resolve({ ...timed, event });
      };
      this.#waiting.add(look);
    });
    return await Promise.race([found, this.#failed]);
  }
}

/**
 * Runs a real cluster, each role a process, while something is measured.
 * @throws as the cluster; jobFailed: the job ended
 */
export async function withTrainingCluster<Result>(
  options: Pick<LocalClusterOptions, "job" | "onWarning" | "coresOf">,
  measure: (training: Training, cluster: LocalCluster) => Promise<Result>,
): Promise<Result> {
  const { job } = options;
  const folder = await mkdtemp(join(tmpdir(), "downpour-bench-"));
  const run = await makeRunDirectory(job, join(folder, "run"), new Date());
  const { jobFile, path: runDirectory, logDirectory } = run;
  const cluster = new LocalCluster({ ...options, jobFile, runDirectory, logDirectory });
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
      return await measure(training, cluster);
    } finally {
      coordinator.close();
    }
  } finally {
    enough.abort();
    await cluster.stop();
    await rm(folder, { recursive: true, force: true });
  }
}
