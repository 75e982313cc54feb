import type { Job } from "@downpour/job";
import type { JobEvent } from "@downpour/protocol";
import type { ClusterLayout } from "./cluster-layout.ts";
import { JobControl } from "./control.ts";
import { type TrainingState, trainingStateOf } from "./coordinator-state.ts";
import { Evaluations } from "./evaluations.ts";
import type { Ledger } from "./ledger.ts";
import { initLifecycle, type Lifecycle } from "./lifecycle.ts";
import { Membership } from "./membership.ts";
import type { FinalResult } from "./messages.ts";
import type { ScheduleState } from "./schedule.ts";
import { ServerControl } from "./server-control.ts";
import { ServerFiguresBook } from "./server-figures.ts";
import type { CoordinatorView } from "./summary.ts";
import { Training } from "./training.ts";

/** What a coordinator knows, part by part; what it decides is in `CoordinatorCore`. */
export class CoordinatorParts implements CoordinatorView {
  readonly job: Job;
  readonly serverFigures = new ServerFiguresBook();
  readonly evaluations: Evaluations;
  readonly servers: ServerControl;
  membership = new Membership();
  lifecycle: Lifecycle = initLifecycle();
  result: FinalResult | undefined;
  trainingStartMs: number | undefined;
  trainingEndMs: number | undefined;
  readonly control: JobControl;
  protected readonly counting: Training;

  constructor(job: Job, emit: (event: JobEvent) => void) {
    this.job = job;
    this.evaluations = new Evaluations(job);
    this.servers = new ServerControl(job, emit);
    this.counting = new Training(job, emit);
    this.control = new JobControl(this, emit);
  }

  get layout(): ClusterLayout | undefined {
    return this.servers.layout;
  }

  /** How often slices went back to a checkpoint. */
  get rollback(): number {
    return this.layout?.rollback ?? 0;
  }

  get ledger(): Ledger | undefined {
    return this.counting.ledger;
  }

  get figures(): Training["figures"] {
    return this.counting.figures;
  }

  get asynchrony(): Training["rate"]["asynchrony"] {
    return this.counting.rate.asynchrony;
  }

  /** What the coordinator added to the job's schedule so far. */
  get schedule(): ScheduleState {
    return this.counting.rate.schedule;
  }

  /** There are weights on the servers, or in the checkpoint that they are to take them from. */
  get initialized(): boolean {
    return this.trainingStartMs !== undefined;
  }

  /** Learning rate in force now: schedule, warm-up, drops, and what asynchrony takes off. */
  learningRate(): number {
    return this.counting.rate.now(this.counting.epochsPassed);
  }

  /** How far training is, apart from the ledger. */
  training(nowMs: number): TrainingState {
    return trainingStateOf(this, nowMs);
  }

  /** Goes on where a state was taken. @param sameRun evaluations that were asked for are still to be done */
  protected takeTraining(training: TrainingState, sameRun: boolean, nowMs: number): void {
    this.asynchrony.restore(training.asynchrony);
    this.figures.restore(training.figures);
    this.evaluations.restore(training.evaluations, sameRun);
    this.trainingStartMs = training.trainingMs === null ? undefined : nowMs - training.trainingMs;
  }
}
