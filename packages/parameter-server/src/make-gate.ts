import type { Job } from "@downpour/job";
import { ClockGate } from "./clock-gate.ts";
import { type Gate, openGate } from "./gate.ts";
import { RoundGate } from "./round-gate.ts";

/** The gate of a job's consistency. */
export function makeGate({ consistency, cluster }: Job): Gate {
  switch (consistency.kind) {
    case "ssp":
      return new ClockGate(consistency.bound);
    case "sync":
      return new RoundGate({ workers: cluster.workers, backupWorkers: consistency.backupWorkers });
    default:
      return openGate;
  }
}
