import type { Job } from "@downpour/job";
import type { Lifecycle } from "./lifecycle.ts";
import type { Member, Membership } from "./membership.ts";

/** A server whose slices have replicas is taken for dead when it was not heard for so long. */
const replicatedTimeoutMs = 3000;

/** With replicas a server that died must be missed soon: its slices have another primary to go on with. */
export function timeoutMsOf({ cluster }: Job, { role }: Member): number {
  const { memberTimeoutMs, replicas } = cluster;
  return role === "server" && replicas > 0 ? Math.min(memberTimeoutMs, replicatedTimeoutMs) : memberTimeoutMs;
}

/** How long a job has been waiting for members without which it can't go on. */
export class JobWaits {
  readonly #job: Job;
  /** When the state began that has a bound on waiting. */
  #sinceMs: number;
  #evaluatorSeenMs: number;
  #workerSeenMs: number;

  constructor(job: Job, nowMs: number) {
    this.#job = job;
    this.#sinceMs = nowMs;
    this.#evaluatorSeenMs = nowMs;
    this.#workerSeenMs = nowMs;
  }

  /** The wait for workers begins. */
  serversReady(nowMs: number): void {
    this.#sinceMs = nowMs;
  }

  /** The wait for an evaluator begins. */
  drained(nowMs: number): void {
    this.#evaluatorSeenMs = nowMs;
  }

  /**
   * Why the job has waited too long, for people; undefined while it has not.
   * @param paused nobody has to train now: a job may be paused for as long as people like, also without workers
   */
  exceeded(lifecycle: Lifecycle, membership: Membership, nowMs: number, paused = false): string | undefined {
    const { startTimeoutMs, servers } = this.#job.cluster;
    const seconds = startTimeoutMs / 1000;
    if (lifecycle.kind === "waitingForServers" && nowMs - this.#sinceMs >= startTimeoutMs) {
      const present = membership.present("server");
      const names = present.map((server) => `${server.memberId} at ${server.address}`).join(", ") || "none";
      return (
        `only ${present.length} of ${servers} parameter servers came up within ${seconds} s (${names}); look at ` +
        "the logs of the others, or raise cluster.startTimeoutMs"
      );
    }
    if (lifecycle.kind === "waitingForWorkers" && nowMs - this.#sinceMs >= startTimeoutMs) {
      return `no worker was ready within ${seconds} s; look at the workers' logs, or raise cluster.startTimeoutMs`;
    }
    const training = lifecycle.kind === "training" && !paused;
    if (!training || membership.present("worker").length > 0) this.#workerSeenMs = nowMs;
    if (nowMs - this.#workerSeenMs >= startTimeoutMs) {
      return `no worker has been there for ${seconds} s; start the job again with one at least`;
    }
    if (membership.present("evaluator").length > 0) this.#evaluatorSeenMs = nowMs;
    if (lifecycle.kind === "evaluating" && nowMs - this.#evaluatorSeenMs >= startTimeoutMs) {
      return `no evaluator was there for ${seconds} s to do the final evaluation; start one`;
    }
    return undefined;
  }
}
