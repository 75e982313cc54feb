import { DownpourError } from "@downpour/errors";
import { type Job, learningRateAt } from "@downpour/job";
import type { Manifest } from "@downpour/parameter-vector";
import type { DivergenceFigures, JobEvent } from "@downpour/protocol";
import { AsynchronyControl, divergenceMessage } from "./asynchrony-control.ts";
import { type ClusterLayout, checkAgreement, type DataFacts, makeLayout } from "./cluster-layout.ts";
import { JobControl } from "./control.ts";
import { Evaluations, type ValidationReport } from "./evaluations.ts";
import { exceededLimit } from "./job-limits.ts";
import { JobWaits } from "./job-waits.ts";
import { Ledger } from "./ledger.ts";
import { examplesOfBatch } from "./ledger-account.ts";
import type { BatchEnd, LeaseAnswer } from "./ledger-types.ts";
import { initLifecycle, isFinal, type Lifecycle, type LifecycleEvent, transition } from "./lifecycle.ts";
import { type Member, Membership } from "./membership.ts";
import type { BatchReport, FinalResult, MemberCommand } from "./messages.ts";
import type { ScheduleState } from "./schedule.ts";
import { type ServerAnswer, ServerFiguresBook } from "./server-figures.ts";
import { type CoordinatorView, progressEvents, progressOf, summaryOf } from "./summary.ts";
import { TrainingFigures } from "./training-figures.ts";

/**
 * The core of the coordinator: what it knows, and what it decides on each message and tick. Time comes in with
 * every call; what happened goes out as events. No I/O.
 */
export class CoordinatorCore implements CoordinatorView {
  readonly job: Job;
  readonly figures = new TrainingFigures();
  readonly serverFigures = new ServerFiguresBook();
  readonly evaluations: Evaluations;
  readonly membership = new Membership();
  layout: ClusterLayout | undefined;
  ledger: Ledger | undefined;
  lifecycle: Lifecycle = initLifecycle();
  readonly asynchrony: AsynchronyControl;
  readonly control: JobControl;
  result: FinalResult | undefined;
  trainingStartMs: number | undefined;
  trainingEndMs: number | undefined;
  readonly #emit: (event: JobEvent) => void;
  readonly #waits: JobWaits;
  #roundsClosed = false;
  #evaluationsPassed = 0;
  #tickedMs: number;

  constructor(job: Job, nowMs: number, emit: (event: JobEvent) => void) {
    this.job = job;
    this.evaluations = new Evaluations(job);
    this.#emit = emit;
    this.asynchrony = new AsynchronyControl(job);
    this.control = new JobControl(this, emit);
    this.#waits = new JobWaits(job, nowMs);
    this.#tickedMs = nowMs;
  }

  /** What the coordinator added to the job's schedule so far. */
  get schedule(): ScheduleState {
    return this.asynchrony.schedule;
  }

  /** Learning rate in force now: schedule, warm-up, drops, and what asynchrony takes off. */
  learningRate(): number {
    return this.#rateOfOneWorker() * this.schedule.rateFactor;
  }

  /** Servers may hold back gradients of a round that nobody will complete; tell {@link roundsClosed} when not any more. */
  get roundsDue(): boolean {
    const { kind } = this.job.consistency;
    return (
      this.lifecycle.kind === "evaluating" && !this.#roundsClosed && (kind === "sync" || kind === "softsync")
    );
  }

  /** Every server has applied what it held back: the final evaluation may begin. */
  roundsClosed(): void {
    if (!this.roundsDue) return;
    this.#roundsClosed = true;
    this.evaluations.ask("final", this.ledger?.progress().epochsPassed ?? 0);
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
      this.#waits.serversReady(nowMs);
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
    this.#adapt();
    return member;
  }

  /** The initial weights are on the servers. */
  reportInitialized(memberId: string, nowMs: number): void {
    this.membership.heard(memberId, nowMs);
    if (this.lifecycle.kind !== "waitingForWorkers") return;
    this.trainingStartMs = nowMs;
    this.#advance({ kind: "initialized" }, nowMs);
    const batches = this.ledger?.batchesPerEpoch ?? 0;
    const choice = this.asynchrony.begin(batches, this.membership.present("worker").length);
    const { revision } = this.schedule;
    this.#emit({ type: "asynchronyChosen", reason: "start", revision, ...choice });
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
    const reason = this.control.refusal ?? this.asynchrony.refusal(memberId);
    return reason === undefined ? this.ledger.acquire(memberId, nowMs) : { kind: "wait", reason };
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
      if (report.outcome === "returned") {
        leaseValid &&= ledger.returnBatch(memberId, leaseId, epoch, report.batch, nowMs);
        continue;
      }
      const end: BatchEnd = { ...report, outcome: report.outcome };
      const result = ledger.report(memberId, leaseId, epoch, end, nowMs);
      leaseValid &&= result.leaseValid;
      if (result.counted) this.#countBatch(ledger, memberId, epoch, report, nowMs);
      if (result.epochCompleted !== undefined) this.#emitEpoch(result.epochCompleted);
    }
    this.#adapt();
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
    const { role, state } = this.membership.heard(memberId, nowMs);
    const ending = this.lifecycle.kind === "draining" || this.lifecycle.kind === "evaluating";
    return role === "worker" && (ending || state === "draining") ? "drain" : "continue";
  }

  /** Takes in a validation. Returns whether its weights are the best so far. */
  reportValidation(report: ValidationReport, nowMs: number): boolean {
    const verdict = this.evaluations.judge(report, this.schedule, this.#rateOfOneWorker());
    if (verdict.repeated) return verdict.best;
    const { best, countsForPlateau, evaluation, drop, stop } = verdict;
    const { accuracy } = report;
    const loss = Number.isFinite(report.loss) ? report.loss : null;
    this.#emit({ type: "evaluated", epoch: evaluation.epoch, loss, accuracy, best, countsForPlateau });
    if (drop !== undefined) {
      const atEpoch = evaluation.epoch;
      this.asynchrony.drop(drop.factor, { atEpoch, reason: "plateau" });
      this.#emitDrop(atEpoch, drop.factor, null);
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

  /** What the servers say of themselves; `final` when nobody pushes any more. */
  reportServers(answers: readonly ServerAnswer[], final: boolean): void {
    if (this.layout === undefined || isFinal(this.lifecycle)) return;
    const event = this.serverFigures.observe(this.layout, answers, final);
    if (event !== undefined) this.#emit(event);
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
      this.asynchrony.lost(memberId);
      this.#emit({ type: "leaseExpired", memberId, epoch, batchesReturned: batches.length });
    }
    this.#checkDrained(nowMs);
    const waited = this.#waits.exceeded(this.lifecycle, this.membership, nowMs, this.control.paused);
    if (waited !== undefined) this.fail(waited, nowMs);
    if (this.lifecycle.kind === "training")
      for (const event of progressEvents(this, nowMs)) this.#emit(event);
  }

  #countBatch(ledger: Ledger, memberId: string, epoch: number, report: BatchReport, nowMs: number): void {
    if (report.outcome === "applied") {
      const examples = examplesOfBatch(ledger.options, report.batch) - report.unreadableExamples;
      this.figures.add({ ...report, examples, memberId }, nowMs);
      this.#guard(report.loss, nowMs);
    } else if (report.outcome === "refused") {
      this.#emit({ type: "batchRefused", epoch, batch: report.batch, memberId });
      this.#guard(undefined, nowMs);
    }
  }

  /** The divergence guard takes in a batch, while training goes on. */
  #guard(loss: number | undefined, nowMs: number): void {
    if (this.lifecycle.kind !== "training") return;
    const atEpoch = this.ledger?.progress().epochsPassed ?? 0;
    const divergence = this.asynchrony.observe(loss, atEpoch);
    if (divergence === undefined) return;
    const { figures, factor } = divergence;
    if (factor !== undefined) this.#emitDrop(atEpoch, factor, figures);
    else this.fail(divergenceMessage(figures, this.learningRate()), nowMs);
  }

  #emitDrop(epoch: number, factor: number, divergence: DivergenceFigures | null): void {
    const { revision } = this.schedule;
    const reason = divergence === null ? "plateau" : "divergence";
    const learningRate = this.learningRate();
    this.#emit({ type: "learningRateDropped", epoch, factor, learningRate, revision, reason, divergence });
  }

  /** Momentum and rate follow the workers that train, and the warm start the batches counted. */
  #adapt(): void {
    if (this.lifecycle.kind !== "training" || this.ledger === undefined) return;
    const { batchesApplied, batchesRefused, batchesSkipped } = this.ledger.progress();
    const counted = batchesApplied + batchesRefused + batchesSkipped;
    const choice = this.asynchrony.adapt(counted, this.membership.present("worker").length);
    if (choice === undefined) return;
    const { revision } = this.schedule;
    this.#emit({ type: "asynchronyChosen", reason: "workers", revision, ...choice });
  }

  #rateOfOneWorker(): number {
    const { learningRate, training } = this.job;
    const epochsPassed = this.ledger?.progress().epochsPassed ?? 0;
    return learningRateAt(learningRate, epochsPassed, training.epochs) * this.schedule.dropFactor;
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
    this.#waits.drained(nowMs);
    if (!this.roundsDue) this.evaluations.ask("final", this.ledger.progress().epochsPassed);
  }

  #lose(member: Member, how: "left" | "dead", nowMs: number): void {
    const batchesReturned = this.ledger?.releaseMember(member.memberId) ?? 0;
    const { memberId, role } = member;
    this.asynchrony.lost(memberId);
    this.#emit({ type: "memberLeft", memberId, role, how, batchesReturned });
    this.#adapt();
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
