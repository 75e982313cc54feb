import { setTimeout as sleep } from "node:timers/promises";
import { DownpourError } from "@downpour/errors";
import type { JobEvent, JobSummary } from "@downpour/protocol";
import type { Reporter } from "../reporter.ts";
import { type Container, containersOf, lastLinesOf, projectLabel } from "./containers.ts";
import { containerTrouble } from "./diagnosis.ts";
import { docker, dockerLines } from "./docker.ts";

/** How often containers are looked at until training begins. */
const lookIntervalMs = 1000;

/** And then, when the engine tells of no change: looking costs CPU time that training wants. */
const quietIntervalMs = 15_000;

export interface FollowOptions {
  readonly project: string;
  /** The run's folder in the coordinator's container. */
  readonly runFolder: string;
  readonly reporter: Reporter;
  /** Ends the following, not the cluster. */
  readonly signal: AbortSignal;
  /** Until training begins, or until the job has ended. */
  readonly until: "training" | "ended";
}

/**
 * Follows a job in containers by the events that its coordinator writes.
 *
 * @returns the summary of a job that has ended; undefined for one that goes on
 * @throws jobFailed: a container that the job can't do without has failed, with the reason; environment: the engine is
 *   gone
 */
export async function followJob(options: FollowOptions): Promise<JobSummary | undefined> {
  const { project, runFolder, reporter, signal, until } = options;
  const seen = new AbortController();
  const stopping = AbortSignal.any([signal, seen.signal]);
  let summary: JobSummary | undefined;
  let training = false;
  let sequence = 0;
  const onLine = (line: string) => {
    const { timeMs, ...event } = JSON.parse(line) as { timeMs: number } & JobEvent;
    reporter.event({ sequence: ++sequence, timeMs, event: event as JobEvent });
    if (event.type === "ended") summary = event.summary;
    if (event.type === "stateChanged" && event.state === "training") training = true;
    if (summary !== undefined || (training && until === "training")) seen.abort();
  };
  const warned = new Set<string>();
  let linesRead = 0;
  let tail: Promise<unknown> | undefined;
  const follow = (id: string) => {
    const from = `+${linesRead + 1}`;
    const command = ["exec", id, "tail", "-n", from, "-F", `${runFolder}/events.jsonl`];
    const lines = dockerLines(command, stopping, (line) => {
      linesRead++;
      onLine(line);
    });
    // It ends with its coordinator, which may be started again.
    return lines.finally(() => {
      tail = undefined;
    });
  };
  const changes = new Changes(project, stopping);
  try {
    while (!stopping.aborted) {
      const containers = await containersOf(project);
      const coordinator = containers.find(({ service }) => service === "coordinator");
      if (coordinator?.state === "running") tail ??= follow(coordinator.id);
      await refuseFailed(containers, reporter, warned);
      if (coordinator?.state === "exited" && coordinator.exitCode === 0) {
        await tail;
        break;
      }
      await changes.next(training ? quietIntervalMs : lookIntervalMs);
    }
    return summary ?? (signal.aborted || training ? undefined : await summaryOf(options));
  } finally {
    seen.abort();
    await Promise.all([tail, changes.ended]);
  }
}

/** What the engine tells of a project's containers that begin or end. */
class Changes {
  readonly ended: Promise<unknown>;
  readonly #signal: AbortSignal;
  #changed = new AbortController();

  constructor(project: string, signal: AbortSignal) {
    this.#signal = signal;
    const filters = ["type=container", "event=start", "event=die", `label=${projectLabel}=${project}`];
    const command = ["events", ...filters.flatMap((filter) => ["--filter", filter])];
    this.ended = dockerLines(command, signal, () => this.#changed.abort());
  }

  /** Resolves at the next change, or when one came since the last call; after `timeoutMs` at the latest. */
  async next(timeoutMs: number): Promise<void> {
    const signal = AbortSignal.any([this.#signal, this.#changed.signal]);
    await sleep(timeoutMs, undefined, { signal }).catch(() => undefined);
    this.#changed = new AbortController();
  }
}

/**
 * @throws jobFailed: the coordinator, a server, or what they need has failed for good. A worker or an evaluator that
 *   failed is replaced by its restart policy: people are told
 */
async function refuseFailed(
  containers: readonly Container[],
  reporter: Reporter,
  warned: Set<string>,
): Promise<void> {
  for (const container of containers) {
    const { service, state, exitCode, restarts, id } = container;
    const failed = (state === "exited" || state === "dead") && exitCode !== 0;
    const restarted = restarts > 0 && service !== "init";
    if (!failed && !restarted) continue;
    const member = service === "worker" || service === "evaluator";
    const key = `${id} ${restarts} ${failed}`;
    if (warned.has(key)) continue;
    warned.add(key);
    const trouble = containerTrouble({ container, lines: await lastLinesOf(container) });
    if (failed && !member) throw new DownpourError("jobFailed", trouble);
    reporter.warn(failed ? trouble : `${trouble}; it was started again (${restarts})`);
  }
  const lost = containers.filter(({ service, state }) => service === "worker" && state === "exited");
  const workers = containers.filter(({ service }) => service === "worker");
  if (workers.length > 0 && lost.length === workers.length && lost.every(({ exitCode }) => exitCode !== 0)) {
    const [first] = lost;
    if (first === undefined) return;
    throw new DownpourError(
      "jobFailed",
      `all workers have failed. ${containerTrouble({ container: first, lines: await lastLinesOf(first) })}`,
    );
  }
}

/** The summary of a job whose coordinator has ended, from its file. */
async function summaryOf({ project, runFolder }: FollowOptions): Promise<JobSummary | undefined> {
  const coordinator = (await containersOf(project)).find(({ service }) => service === "coordinator");
  if (coordinator === undefined) return undefined;
  // A tar of one file, whose head has 512 bytes; the text follows.
  const { stdout } = await docker("cp", `${coordinator.id}:${runFolder}/summary.json`, "-");
  const begin = stdout.indexOf("{");
  const end = stdout.lastIndexOf("}");
  return begin === -1 ? undefined : (JSON.parse(stdout.slice(begin, end + 1)) as JobSummary);
}
