import { createHash } from "node:crypto";
import type {
  CheckpointId,
  CheckpointManifest,
  CoordinatorPart,
  PartRecord,
  ValidationFigures,
} from "@downpour/checkpoint";
import { checkpointFormatVersion } from "@downpour/checkpoint";
import { DownpourError } from "@downpour/errors";
import type { Job } from "@downpour/job";
import type { ClusterLayout, DataFacts } from "./cluster-layout.ts";
import type { CoordinatorCore } from "./coordinator-core.ts";
import type { TrainingState } from "./coordinator-state.ts";
import type { LedgerSnapshot } from "./ledger-types.ts";

/** What the coordinator puts into a checkpoint, with its types; ledger and schedule have a file each. */
export interface CoordinatorPartContent {
  readonly ledger: LedgerSnapshot;
  readonly data: DataFacts;
  readonly training: TrainingState;
}

/** The coordinator's part of a checkpoint, as of now. @throws failedPrecondition: no member has joined yet */
export function coordinatorPartOf(core: CoordinatorCore, nowMs: number): CoordinatorPart {
  const { ledger, layout, job } = core;
  if (ledger === undefined || layout === undefined) {
    throw new DownpourError(
      "failedPrecondition",
      "there is nothing to checkpoint before the first member joins",
    );
  }
  return {
    // Leases are of this run only.
    ledger: { ...ledger.snapshot(), leases: [] },
    schedule: { data: layout.data, training: core.training(nowMs) },
    random: { seed: job.seed, epoch: ledger.progress().completedEpochs },
    job,
  };
}

export interface ManifestFacts {
  readonly id: CheckpointId;
  readonly createdAtMs: number;
  readonly job: Job;
  readonly layout: ClusterLayout;
  readonly serverCount: number;
  readonly validation: ValidationFigures | null;
  readonly files: readonly PartRecord[];
}

export function checkpointManifestOf(facts: ManifestFacts): CheckpointManifest {
  const { id, createdAtMs, job, layout, serverCount, validation, files } = facts;
  const { fingerprint, length } = layout.manifest;
  return {
    format: "downpour-checkpoint",
    formatVersion: checkpointFormatVersion,
    sequence: id.sequence,
    coordinatorEpoch: id.coordinatorEpoch,
    createdAtMs,
    job: { name: job.name, fingerprint: createHash("sha256").update(JSON.stringify(job)).digest("hex") },
    parameters: { fingerprint, length },
    serverCount,
    validation,
    files,
  };
}
