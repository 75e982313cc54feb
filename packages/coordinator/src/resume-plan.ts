import type { Job } from "@downpour/job";
import type { Manifest } from "@downpour/parameter-vector";
import type { JobEvent } from "@downpour/protocol";
import { type ClusterLayout, checkAgreement, type DataFacts, makeLayout } from "./cluster-layout.ts";
import type { ResumedTraining, TrainingState } from "./coordinator-state.ts";
import { Ledger } from "./ledger.ts";
import { rollBackLedger } from "./ledger-roll-back.ts";
import { highestTerm, pushIdsOf, type RestorePoint } from "./restored-slices.ts";

/** What a job begins with that goes on from a checkpoint. */
export interface ResumedBeginning {
  readonly layout: ClusterLayout;
  readonly ledger: Ledger;
}

/** A job that goes on from a checkpoint of another run: its layout and ledger, as soon as a member brings the model. */
export class ResumePlan {
  readonly point: RestorePoint;
  readonly #manifest: Manifest;
  readonly #resumed: ResumedTraining;
  #batchesReopened = 0;

  constructor(point: RestorePoint, manifest: Manifest, resumed: ResumedTraining) {
    this.point = point;
    this.#manifest = manifest;
    this.#resumed = resumed;
  }

  get training(): TrainingState {
    return this.#resumed.training;
  }

  /**
   * Slices are cut and placed for the job's servers, under terms above all in the checkpoint; the ledger has the batches
   * that all slices of the checkpoint have.
   * @throws failedPrecondition: the member's manifest or data are not those of the checkpoint
   */
  begin(job: Job, manifest: Manifest, data: DataFacts): ResumedBeginning {
    const { path: checkpoint, servers } = this.point;
    const layout = makeLayout(job, manifest, data, { checkpoint, term: highestTerm(servers) + 1 });
    checkAgreement({ ...layout, manifest: this.#manifest, data: this.#resumed.data }, manifest, data);
    const { ledger } = this.#resumed;
    const ranges = layout.slices.map(({ slice }) => slice);
    const options = { ...ledger.options, epochs: job.training.epochs, leaseMs: job.cluster.leaseMs };
    const batchesPerEpoch = Math.ceil(options.exampleCount / options.batchSize);
    const slices = pushIdsOf(servers, ranges, batchesPerEpoch);
    const stored = { ...ledger, options, leasingStopped: false };
    const { snapshot, batchesReopened } = rollBackLedger(stored, { slices, of: "all" });
    this.#batchesReopened = batchesReopened;
    return { layout, ledger: Ledger.restore(snapshot) };
  }

  event(epochsPassed: number): JobEvent {
    const { path: checkpoint, sequence, passedOver } = this.point;
    const batchesReopened = this.#batchesReopened;
    return { type: "resumedFromCheckpoint", checkpoint, sequence, epochsPassed, batchesReopened, passedOver };
  }
}
