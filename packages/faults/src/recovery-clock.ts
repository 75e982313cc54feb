import type { ClusterView } from "./cluster-view.ts";

/** How long training stands still after a death, by what the job's events tell. */
export class RecoveryClock {
  readonly serverSeconds: number[] = [];
  readonly coordinatorSeconds: number[] = [];
  readonly #view: ClusterView;
  readonly #now: () => number;

  /** @param now milliseconds since 1970, as events have */
  constructor(view: ClusterView, now: () => number = Date.now) {
    this.#view = view;
    this.#now = now;
  }

  /** A role was killed just now. */
  killed(role: string): void {
    const times = role.startsWith("server")
      ? this.serverSeconds
      : role.startsWith("coordinator")
        ? this.coordinatorSeconds
        : undefined;
    if (times === undefined) return;
    const killedMs = this.#now();
    // What was counted until the next event may have been applied before.
    this.#view.onceTrainedAfter(killedMs, (timeMs) => times.push((timeMs - killedMs) / 1000));
  }
}
