import { DownpourError } from "@downpour/errors";
import { type Job, learningRateAt } from "@downpour/job";
import type { Manifest } from "@downpour/parameter-vector";
import type { JobEvent } from "@downpour/protocol";
import { type ClusterLayout, checkAgreement, type DataFacts, makeLayout } from "./cluster-layout.ts";
import { Evaluations, type ValidationReport } from "./evaluations.ts";
import { exceededLimit } from "./job-limits.ts";
import { Ledger } from "./ledger.ts";
import { examplesOfBatch } from "./ledger-account.ts";
import type { BatchEnd, LeaseAnswer } from "./ledger-types.ts";
import { initLifecycle, isFinal, type Lifecycle, type LifecycleEvent, transition } from "./lifecycle.ts";
import { type Member, Membership } from "./membership.ts";
import { applyDrop, initSchedule, type ScheduleState } from "./schedule.ts";
import { type CoordinatorView, progressOf, summaryOf } from "./summary.ts";
import { TrainingFigures } from "./training-figures.ts";

/** What a member is told with every answer. */
export type MemberCommand = "continue" | "drain" | "stop";

/** A worker's report of one batch. */
export interface BatchReport extends Required<BatchEnd> {
  readonly loss: number;
  readonly stalenessMean: number;
  readonly stalenessMax: number;
}

/** Result of the final evaluation. */
export interface FinalResult {
  readonly testLoss: number;
  readonly testAccuracy: number;
  readonly modelDirectory: string;
  /** Lowest and highest count of updates of a slice. */
  readonly updateCountMin: number;
  readonly updateCountMax: number;
}

/**
 * The core of the coordinator: what it knows, and what it decides on each message and tick. Time comes in with
 * every call; what happened goes out as events. No I/O.
 */
export class CoordinatorCore implements CoordinatorView {
  readonly job: Job;
  readonly figures = new TrainingFigures();
  readonly evaluations: Evaluations;
  readonly membership = new Membership();
  layout: ClusterLayout | undefined;
  ledger: Ledger | undefined;
  lifecycle: Lifecycle = initLifecycle();
  schedule: ScheduleState = initSchedule();
  result: FinalResult | undefined;
  trainingStartMs: number | undefined;
  trainingEndMs: number | undefined;
  readonly #emit: (event: JobEvent) => void;
  /** When the state began that has a bound on waiting. */
  #waitingSinceMs: number;
  #evaluationsPassed = 0;
  #evaluatorSeenMs: number;
  #workerSeenMs: number;
  #tickedMs: number;

  constructor(job: Job, nowMs: number, emit: (event: JobEvent) => void) {
    this.job = job;
    this.evaluations = new Evaluations(job);
    this.#emit = emit;
    this.#waitingSinceMs = nowMs;
    this.#evaluatorSeenMs = nowMs;
    this.#workerSeenMs = nowMs;
    this.#tickedMs = nowMs;
  }

  /** Learning rate in force now: schedule, warm-up and drops. */
  learningRate(): number {
    const epochsPassed = this.ledger?.progress().epochsPassed ?? 0;
    return (
      learningRateAt(this.job.learningRate, epochsPassed, this.job.training.epochs) * this.schedule.dropFactor
    );
  }

  registerServer(
    name: string,
    incarnation: string,
    address: string,
    nowMs: number,
  ): Member & { index: number } {
    const servers = this.membership.present("server");
    const known = servers.find((server) => server.incarnation === incarnation);
    if (known === undefined && servers.length >= this.job.cluster.servers) {
      throw new DownpourError(
        "failedPrecondition",
        `the job has all its ${this.job.cluster.servers} parameter servers; raise cluster.servers to add one`,
      );
    }
    const member = this.membership.join({ role: "server", name, incarnation, address }, nowMs);
    const present = this.membership.present("server");
    if (known === undefined) this.#announceJoin(member);
    const complete = present.length === this.job.cluster.servers;
    if (complete && this.lifecycle.kind === "waitingForServers") {
      this.#advance({ kind: "serversReady" }, nowMs);
      this.#waitingSinceMs = nowMs;
    }
    return { ...member, index: present.findIndex((server) => server.memberId === member.memberId) };
  }

  /**
   * Checks whether a member may join, and lets the first one fix manifest, data and placement.
   * @throws unavailable: servers are missing; failedPrecondition: the job is over, or the member disagrees with it
   */
  admit(manifest: Manifest, data: DataFacts): ClusterLayout {
    if (isFinal(this.lifecycle)) throw new DownpourError("failedPrecondition", "the job is over");
    const servers = this.membership.present("server").length;
    if (servers < this.job.cluster.servers) {
      const message = `${servers} of ${this.job.cluster.servers} parameter servers have registered; ask again`;
      throw new DownpourError("unavailable", message);
    }
    if (this.layout === undefined) {
      this.layout = makeLayout(this.job, manifest, data);
      this.ledger = Ledger.create({
        exampleCount: data.trainExamples,
        batchSize: this.job.data.batchSize,
        shardBatches: this.job.data.shardBatches,
        epochs: this.job.training.epochs,
        leaseMs: this.job.cluster.leaseMs,
      });
    } else {
      checkAgreement(this.layout, manifest, data);
    }
    return this.layout;
  }

  join(role: "worker" | "evaluator", name: string, incarnation: string, nowMs: number): Member {
    const before = this.membership.present(role).length;
    const member = this.membership.join({ role, name, incarnation }, nowMs);
    if (this.membership.present(role).length > before) this.#announceJoin(member);
    return member;
  }

  /** The initial weights are on the servers. */
  reportInitialized(memberId: string, nowMs: number): void {
    this.membership.heard(memberId, nowMs);
    if (this.lifecycle.kind !== "waitingForWorkers") return;
    this.trainingStartMs = nowMs;
    this.#advance({ kind: "initialized" }, nowMs);
  }

  get initialized(): boolean {
    return this.trainingStartMs !== undefined;
  }

  acquireLease(memberId: string, nowMs: number): LeaseAnswer {
    this.membership.heard(memberId, nowMs);
    if (this.lifecycle.kind === "waitingForServers" || this.lifecycle.kind === "waitingForWorkers") {
      return { kind: "wait", reason: "the weights are not initialized yet" };
    }
    if (this.lifecycle.kind !== "training" || this.ledger === undefined) return { kind: "finished" };
    return this.ledger.acquire(memberId, nowMs);
  }

  /** Counts a worker's batches. Returns whether its lease still holds. */
  reportBatches(
    memberId: string,
    leaseId: number,
    epoch: number,
    reports: readonly BatchReport[],
    nowMs: number,
  ): boolean {
    this.membership.heard(memberId, nowMs);
    const { ledger } = this;
    if (ledger === undefined) throw new DownpourError("failedPrecondition", "no lease was given yet");
    if (reports.length === 0) return ledger.extend(memberId, leaseId, nowMs);
    let leaseValid = true;
    for (const report of reports) {
      const result = ledger.report(memberId, leaseId, epoch, report, nowMs);
      leaseValid &&= result.leaseValid;
      if (result.counted) this.#countBatch(ledger, memberId, epoch, report, nowMs);
      if (result.epochCompleted !== undefined) this.#emitEpoch(result.epochCompleted);
    }
    this.#askForEvaluation();
    if (ledger.progress().finished) this.#endTraining("epochs", nowMs);
    const limit = exceededLimit(this.job, ledger.progress());
    if (limit !== undefined) this.fail(limit, nowMs);
    this.#checkDrained(nowMs);
    return leaseValid;
  }

  returnLease(memberId: string, leaseId: number, nowMs: number): void {
    this.membership.heard(memberId, nowMs);
    this.ledger?.giveBack(memberId, leaseId);
    this.#checkDrained(nowMs);
  }

  leave(memberId: string, nowMs: number): void {
    const before = this.membership.get(memberId);
    if (before === undefined || before.state === "left" || before.state === "dead") return;
    this.#lose(this.membership.leave(memberId), "left", nowMs);
  }

  /** @throws unknownMember: the member is not, or no longer, one */
  command(memberId: string, nowMs: number): MemberCommand {
    if (isFinal(this.lifecycle)) return "stop";
    const { role } = this.membership.heard(memberId, nowMs);
    const training = this.lifecycle.kind !== "draining" && this.lifecycle.kind !== "evaluating";
    return role === "worker" && !training ? "drain" : "continue";
  }

  /** Takes in a validation. Returns whether its weights are the best so far. */
  reportValidation(report: ValidationReport, nowMs: number): boolean {
    const verdict = this.evaluations.judge(report, this.schedule, this.learningRate());
    if (verdict.repeated) return verdict.best;
    const { best, countsForPlateau, evaluation, drop, stop } = verdict;
    const { accuracy } = report;
    const loss = Number.isFinite(report.loss) ? report.loss : null;
    this.#emit({ type: "evaluated", epoch: evaluation.epoch, loss, accuracy, best, countsForPlateau });
    if (drop !== undefined) {
      const atEpoch = evaluation.epoch;
      this.schedule = applyDrop(this.schedule, drop.factor, { atEpoch, reason: "plateau" });
      const { revision } = this.schedule;
      this.#emit({
        type: "learningRateDropped",
        epoch: atEpoch,
        factor: drop.factor,
        learningRate: this.learningRate(),
        revision,
      });
    }
    if (stop !== undefined) this.#endTraining(stop, nowMs);
    return best;
  }

  /** Takes in the final evaluation, which ends the job. */
  reportFinal(result: FinalResult, nowMs: number): void {
    if (this.lifecycle.kind !== "evaluating") return;
    this.result = result;
    this.evaluations.close();
    this.#advance({ kind: "evaluated" }, nowMs);
  }

  stop(nowMs: number): void {
    if (this.lifecycle.kind === "training") this.#endOfTraining(nowMs);
    this.#advance({ kind: "stop" }, nowMs);
    this.#checkDrained(nowMs);
  }

  fail(message: string, nowMs: number): void {
    if (!isFinal(this.lifecycle)) this.#advance({ kind: "fail", message }, nowMs);
  }

  /** What time brings: dead members, expired leases, waits that took too long, and a progress event. */
  tick(nowMs: number): void {
    if (isFinal(this.lifecycle)) return;
    // This process itself was stopped for a while: nobody could be heard meanwhile.
    if (nowMs - this.#tickedMs > this.job.cluster.memberTimeoutMs / 2) {
      for (const { memberId } of this.membership.present()) this.membership.heard(memberId, nowMs);
      this.ledger?.renewLeases(nowMs);
    }
    this.#tickedMs = nowMs;
    for (const member of this.membership.sweep(nowMs, this.job.cluster.memberTimeoutMs)) {
      this.#lose(member, "dead", nowMs);
    }
    for (const lease of this.ledger?.expire(nowMs) ?? []) {
      const { memberId, epoch, batches } = lease;
      this.#emit({ type: "leaseExpired", memberId, epoch, batchesReturned: batches.length });
    }
    this.#checkDrained(nowMs);
    this.#checkWaits(nowMs);
    if (this.lifecycle.kind === "training") this.#emit({ type: "progress", ...progressOf(this, nowMs) });
  }

  #countBatch(ledger: Ledger, memberId: string, epoch: number, report: BatchReport, nowMs: number): void {
    if (report.outcome === "applied") {
      const examples = examplesOfBatch(ledger.options, report.batch) - report.unreadableExamples;
      this.figures.add({ ...report, examples }, nowMs);
    } else if (report.outcome === "refused") {
      this.#emit({ type: "batchRefused", epoch, batch: report.batch, memberId });
    }
  }

  #emitEpoch(epoch: number): void {
    const record = this.ledger?.epochRecord(epoch);
    if (record === undefined) return;
    const { batches, applied, refused, skipped, examplesApplied } = record;
    this.#emit({ type: "epochCompleted", epoch, batches, applied, refused, skipped, examplesApplied });
  }

  /** Asks for a validation each time that `evaluation.everyEpochs` have passed; the last one is the final's. */
  #askForEvaluation(): void {
    const progress = this.ledger?.progress();
    if (progress === undefined || progress.finished || this.lifecycle.kind !== "training") return;
    const passed = Math.floor(progress.epochsPassed / this.job.evaluation.everyEpochs);
    if (passed <= this.#evaluationsPassed) return;
    this.#evaluationsPassed = passed;
    this.evaluations.ask("validation", progress.epochsPassed);
  }

  #endTraining(reason: "epochs" | "targetAccuracy" | "earlyStopping", nowMs: number): void {
    if (this.lifecycle.kind !== "training") return;
    this.#endOfTraining(nowMs);
    this.#advance({ kind: "endTraining", reason }, nowMs);
  }

  #endOfTraining(nowMs: number): void {
    this.#emit({ type: "progress", ...progressOf(this, nowMs) });
    this.trainingEndMs = nowMs;
    this.ledger?.stopLeasing();
  }

  #checkDrained(nowMs: number): void {
    if (this.lifecycle.kind !== "draining" || this.ledger === undefined) return;
    if (this.ledger.openLeases().length > 0 || this.membership.present("worker").length > 0) return;
    this.#advance({ kind: "drained" }, nowMs);
    this.#evaluatorSeenMs = nowMs;
    this.evaluations.ask("final", this.ledger.progress().epochsPassed);
  }

  #checkWaits(nowMs: number): void {
    const { startTimeoutMs, servers } = this.job.cluster;
    const seconds = startTimeoutMs / 1000;
    if (this.lifecycle.kind === "waitingForServers" && nowMs - this.#waitingSinceMs >= startTimeoutMs) {
      const present = this.membership.present("server");
      const names = present.map((server) => `${server.memberId} at ${server.address}`).join(", ") || "none";
      this.fail(
        `only ${present.length} of ${servers} parameter servers came up within ${seconds} s (${names}); look at ` +
          "the logs of the others, or raise cluster.startTimeoutMs",
        nowMs,
      );
    } else if (
      this.lifecycle.kind === "waitingForWorkers" &&
      nowMs - this.#waitingSinceMs >= startTimeoutMs
    ) {
      const message = `no worker was ready within ${seconds} s; look at the workers' logs, or raise cluster.startTimeoutMs`;
      this.fail(message, nowMs);
    }
    const training = this.lifecycle.kind === "training";
    if (!training || this.membership.present("worker").length > 0) this.#workerSeenMs = nowMs;
    if (nowMs - this.#workerSeenMs >= startTimeoutMs) {
      this.fail(`no worker has been there for ${seconds} s; start the job again with one at least`, nowMs);
    }
    if (this.membership.present("evaluator").length > 0) this.#evaluatorSeenMs = nowMs;
    if (this.lifecycle.kind === "evaluating" && nowMs - this.#evaluatorSeenMs >= startTimeoutMs) {
      this.fail(`no evaluator was there for ${seconds} s to do the final evaluation; start one`, nowMs);
    }
  }

  #lose(member: Member, how: "left" | "dead", nowMs: number): void {
    const batchesReturned = this.ledger?.releaseMember(member.memberId) ?? 0;
    const { memberId, role } = member;
    this.#emit({ type: "memberLeft", memberId, role, how, batchesReturned });
    if (role === "server") {
      const what = how === "dead" ? `was not heard of for ${this.job.cluster.memberTimeoutMs} ms` : "left";
      this.fail(
        `${memberId} at ${member.address} ${what}, and its slices are lost with it; start the job again`,
        nowMs,
      );
    }
    this.#checkDrained(nowMs);
  }

  #announceJoin({ memberId, role, name }: Member): void {
    this.#emit({ type: "memberJoined", memberId, role, name });
  }

  #advance(event: LifecycleEvent, nowMs: number): void {
    const before = this.lifecycle;
    this.lifecycle = transition(before, event);
    if (this.lifecycle === before) return;
    const reason = "reason" in this.lifecycle ? this.lifecycle.reason : null;
    this.#emit({ type: "stateChanged", state: this.lifecycle.kind, reason });
    if (isFinal(this.lifecycle)) this.#emit({ type: "ended", summary: summaryOf(this, nowMs) });
  }
}
