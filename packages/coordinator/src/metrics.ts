import { byLabel, type Readings } from "@downpour/metrics";
import type { JobEvent, RefusalCounts } from "@downpour/protocol";
import type { Lifecycle } from "./lifecycle.ts";
import { type CoordinatorView, progressOf } from "./summary.ts";

/** What only events tell, counted since the coordinator started. */
export class EventCounts {
  readonly membersLost = new Map<string, number>();
  readonly rateDrops = new Map<string, number>();
  leasesExpired = 0;
  /** Of the latest answers of the servers; undefined before the first. */
  skew: number | undefined;

  observe(event: JobEvent): void {
    switch (event.type) {
      case "memberLeft":
        increment(this.membersLost, `${event.role} ${event.how}`);
        break;
      case "learningRateDropped":
        increment(this.rateDrops, event.reason);
        break;
      case "leaseExpired":
        this.leasesExpired++;
        break;
      case "serverMetrics":
        this.skew = event.skew;
        break;
    }
  }
}

/** What Prometheus is told. `refusals`: calls that were refused so far. */
export function coordinatorReadings(
  view: CoordinatorView,
  counts: EventCounts,
  refusals: RefusalCounts,
  nowMs: number,
): Readings<"coordinator"> {
  const { job } = view;
  const ledger = view.ledger?.progress();
  const progress = progressOf(view, nowMs);
  const { batchesApplied = 0, batchesRefused = 0, batchesSkipped = 0 } = ledger ?? {};
  return {
    downpour_job_info: [
      {
        labels: {
          job: job.name,
          model: "name" in job.model ? job.model.name : "module",
          optimizer: job.optimizer.name,
          consistency: job.consistency.kind,
        },
        value: 1,
      },
    ],
    downpour_job_state: states.map((state) => ({
      labels: { state },
      value: state === view.lifecycle.kind ? 1 : 0,
    })),
    downpour_epochs_passed: progress.epoch,
    downpour_epochs_planned: progress.epochs,
    downpour_examples_total: progress.examplesCounted,
    downpour_examples_unreadable_total: ledger?.examplesUnreadable ?? 0,
    downpour_examples_pending: ledger?.examplesPending ?? null,
    downpour_batches_total: byLabel("outcome", {
      applied: batchesApplied,
      refused: batchesRefused,
      skipped: batchesSkipped,
    }),
    downpour_batches_leased: ledger?.batchesLeased ?? 0,
    downpour_batches_clipped_total: view.figures.clippedBatches,
    downpour_leases_expired_total: counts.leasesExpired,
    downpour_shards_waiting: shardsWaiting(view),
    downpour_members: byLabel("role", {
      server: view.membership.present("server").length,
      worker: view.membership.present("worker").length,
      evaluator: view.membership.present("evaluator").length,
    }),
    downpour_members_lost_total: [...counts.membersLost].map(([key, value]) => {
      const [role = "", how = ""] = key.split(" ");
      return { labels: { role, how }, value };
    }),
    downpour_workers_wanted: workersWanted(view),
    downpour_servers_wanted: job.cluster.servers,
    downpour_training_loss: progress.loss,
    downpour_validation_loss: progress.validationLoss,
    downpour_validation_accuracy_ratio: progress.validationAccuracy,
    downpour_learning_rate: progress.learningRate,
    downpour_learning_rate_drops_total: byLabel("reason", Object.fromEntries(counts.rateDrops)),
    downpour_momentum_ratio: view.schedule.momentum,
    downpour_schedule_revision: view.schedule.revision,
    downpour_staleness_updates: byLabel("statistic", {
      mean: progress.stalenessMean,
      max: progress.stalenessMax,
    }),
    downpour_slice_skew_updates: counts.skew ?? null,
    downpour_remaining_seconds: progress.etaSeconds,
    downpour_refused_calls_total: byLabel("reason", refusals),
  };
}

/** Shards that nobody holds a lease on, over all epochs that are left; none before the data set is known. */
export function shardsWaiting({ job, ledger }: Pick<CoordinatorView, "job" | "ledger">): number {
  if (ledger === undefined) return 0;
  const { epochs, batchesPerEpoch, batchesApplied, batchesRefused, batchesSkipped, batchesLeased } =
    ledger.progress();
  const ended = batchesApplied + batchesRefused + batchesSkipped;
  const waiting = epochs * batchesPerEpoch - ended - batchesLeased;
  return Math.ceil(Math.max(0, waiting) / job.data.shardBatches);
}

/**
 * Workers that the job has work for, which an autoscaler may start: those of the job file, for whom its settings are
 * made, or as many as shards are left at the end; none when no lease is given any more.
 */
export function workersWanted(view: Pick<CoordinatorView, "job" | "ledger" | "lifecycle">): number {
  const { job, ledger, lifecycle } = view;
  if (!["waitingForServers", "waitingForWorkers", "training"].includes(lifecycle.kind)) return 0;
  if (ledger === undefined) return job.cluster.workers;
  const shardsLeft = shardsWaiting(view) + ledger.openLeases().length;
  return Math.min(job.cluster.workers, shardsLeft);
}

const states: readonly Lifecycle["kind"][] = [
  "waitingForServers",
  "waitingForWorkers",
  "training",
  "draining",
  "evaluating",
  "finished",
  "failed",
];

function increment(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
