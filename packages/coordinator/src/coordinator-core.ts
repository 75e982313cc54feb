import { DownpourError } from "@downpour/errors";
import type { Job } from "@downpour/job";
import type { Manifest } from "@downpour/parameter-vector";
import type { JobEvent } from "@downpour/protocol";
import { type ClusterLayout, checkAgreement, type DataFacts, makeLayout } from "./cluster-layout.ts";
import { CoordinatorParts } from "./coordinator-parts.ts";
import { type CoordinatorState, stateOf } from "./coordinator-state.ts";
import type { ValidationReport } from "./evaluations.ts";
import { JobWaits, timeoutMsOf } from "./job-waits.ts";
import { Ledger } from "./ledger.ts";
import type { LeaseAnswer } from "./ledger-types.ts";
import { isFinal, type LifecycleEvent, transition } from "./lifecycle.ts";
import { type Member, Membership } from "./membership.ts";
import type { BatchReport, FinalResult, MemberCommand } from "./messages.ts";
import type { RestorePoint } from "./restored-slices.ts";
import type { ResumePlan } from "./resume-plan.ts";
import { rollBackTo } from "./roll-back.ts";
import type { ReplicaNote } from "./server-control.ts";
import type { ServerAnswer } from "./server-figures.ts";
import { progressEvents, progressOf, summaryOf } from "./summary.ts";

/**
 * The core of the coordinator: what it knows, and what it decides on each message and tick. Time comes in with
 * every call; what happened goes out as events. No I/O.
 */
export class CoordinatorCore extends CoordinatorParts {
  readonly #emit: (event: JobEvent) => void;
  readonly #waits: JobWaits;
  readonly #resume: ResumePlan | undefined;
  #roundsClosed = false;
  #tickedMs: number;

  /** @param resume what the job goes on from, where it does not begin anew */
  constructor(job: Job, nowMs: number, emit: (event: JobEvent) => void, resume?: ResumePlan) {
    super(job, emit);
    this.#emit = emit;
    this.#waits = new JobWaits(job, nowMs);
    this.#tickedMs = nowMs;
    this.#resume = resume;
  }

  /** The state that another process had stored: time begins anew for everybody who was there. */
  static restore(
    job: Job,
    state: CoordinatorState,
    manifest: Manifest | undefined,
    nowMs: number,
    emit: (event: JobEvent) => void,
  ): CoordinatorCore {
    const core = new CoordinatorCore(job, nowMs, emit);
    core.lifecycle = state.lifecycle;
    core.membership = Membership.restore(state.membership, nowMs);
    core.servers.restore(state.servers, manifest);
    core.counting.ledger = state.ledger === null ? undefined : Ledger.restore(state.ledger);
    core.ledger?.renewLeases(nowMs);
    core.takeTraining(state, true, nowMs);
    core.control.restore(state.control);
    core.trainingEndMs = state.trainingEnded ? nowMs : undefined;
    core.#roundsClosed = state.roundsClosed;
    core.result = state.result ?? undefined;
    return core;
  }

  /** All of it, for {@link restore}. */
  state(coordinatorEpoch: number, nowMs: number): CoordinatorState {
    return stateOf(this, { coordinatorEpoch, roundsClosed: this.#roundsClosed, nowMs });
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
    this.evaluations.ask("final", this.counting.epochsPassed);
  }

  /**
   * Takes in a server. One at the address of a server that is here takes its place: two processes can't listen there, so
   * that one is gone.
   * @throws unavailable: every slot has a server; one of them may have died unnoticed
   */
  registerServer(
    name: string,
    incarnation: string,
    address: string,
    nowMs: number,
  ): Member & { index: number } {
    const present = this.membership.present("server");
    const known = present.find((server) => server.incarnation === incarnation);
    const index = known === undefined ? undefined : this.servers.indexOf(known.memberId);
    if (known !== undefined && index !== undefined)
      return { ...this.membership.heard(known.memberId, nowMs), index };
    const before = present.find((server) => server.address === address);
    if (before !== undefined) this.loseServer(before.memberId, nowMs);
    this.servers.refuseWithoutSlot();
    const member = this.membership.join({ role: "server", name, incarnation, address }, nowMs);
    const placed = this.servers.place({ memberId: member.memberId, address }) ?? 0;
    this.#announceJoin(member);
    if (this.servers.hasAll && this.lifecycle.kind === "waitingForServers") {
      this.#advance({ kind: "serversReady" }, nowMs);
      this.#waits.serversReady(nowMs);
    }
    return { ...member, index: placed };
  }

  /** A server is known to be gone. */
  loseServer(memberId: string, nowMs: number): void {
    if (this.servers.indexOf(memberId) === undefined) return;
    this.#lose(this.membership.declareDead(memberId), "dead", nowMs);
  }

  /** What a server says of the replicas of its slices. */
  takeReplicaNotes(memberId: string, notes: readonly ReplicaNote[]): void {
    this.servers.takeReplicaNotes(memberId, notes);
  }

  /**
   * Lost slices whose slot has a server again go back to a checkpoint, and the ledger with them: what they lack is
   * trained again.
   * @throws corruptData: the checkpoint lacks a part of them
   */
  rollBack(point: RestorePoint, nowMs: number): void {
    if (isFinal(this.lifecycle) || this.servers.restorable.length === 0) return;
    this.#emit(rollBackTo(point, this.servers, this.counting));
    this.evaluations.rewind(this.counting.epochsPassed);
    this.#reopen(nowMs);
  }

  /**
   * Checks whether a member may join, and lets the first one fix manifest, data and placement.
   * @throws unavailable: servers are missing; failedPrecondition: the job is over, or the member disagrees with it
   */
  admit(manifest: Manifest, data: DataFacts, nowMs: number): ClusterLayout {
    if (isFinal(this.lifecycle)) throw new DownpourError("failedPrecondition", "the job is over");
    const { layout } = this;
    this.servers.refuseWhileMissing(this.initialized);
    if (layout !== undefined) {
      checkAgreement(layout, manifest, data);
      return layout;
    }
    if (this.#resume !== undefined) return this.#beginResumed(this.#resume, manifest, data, nowMs);
    const made = makeLayout(this.job, manifest, data);
    this.counting.makeLedger(data);
    this.servers.begin(made);
    return made;
  }

  /** Training goes on once all servers have their slices from the checkpoint that the job was resumed from. */
  goOn(nowMs: number): void {
    if (this.lifecycle.kind !== "waitingForWorkers" || !this.initialized || !this.servers.isReachable) return;
    this.#advance({ kind: "initialized" }, nowMs);
    this.#adapt();
    if (this.ledger?.progress().finished) this.#endTraining("epochs", nowMs);
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
    if (this.lifecycle.kind !== "waitingForWorkers" || this.initialized) return;
    this.trainingStartMs = nowMs;
    this.#advance({ kind: "initialized" }, nowMs);
    this.counting.rate.begin(this.ledger?.batchesPerEpoch ?? 0, this.membership.present("worker").length);
  }

  acquireLease(memberId: string, nowMs: number): LeaseAnswer {
    this.membership.heard(memberId, nowMs);
    if (this.lifecycle.kind === "waitingForServers" || this.lifecycle.kind === "waitingForWorkers") {
      return { kind: "wait", reason: "the weights are not initialized yet" };
    }
    if (this.lifecycle.kind !== "training") return { kind: "finished" };
    const reason = this.control.refusal;
    return reason === undefined ? this.counting.acquire(memberId, nowMs) : { kind: "wait", reason };
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
    const guarding = this.lifecycle.kind === "training";
    const { leaseValid, failure } = this.counting.take(memberId, leaseId, epoch, reports, guarding, nowMs);
    if (reports.length === 0) return leaseValid;
    this.#adapt();
    if (guarding) this.evaluations.askIfDue(this.ledger?.progress());
    if (this.ledger?.progress().finished) this.#endTraining("epochs", nowMs);
    if (failure !== undefined) this.fail(failure, nowMs);
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
    const verdict = this.evaluations.judge(
      report,
      this.schedule,
      this.counting.rate.ofOneWorker(this.counting.epochsPassed),
    );
    if (verdict.repeated) return verdict.best;
    const { best, countsForPlateau, evaluation, drop, stop } = verdict;
    const { accuracy } = report;
    const loss = Number.isFinite(report.loss) ? report.loss : null;
    this.#emit({ type: "evaluated", epoch: evaluation.epoch, loss, accuracy, best, countsForPlateau });
    if (drop !== undefined)
      this.counting.rate.dropAtPlateau(drop.factor, evaluation.epoch, this.counting.epochsPassed);
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
    this.goOn(nowMs);
    for (const member of this.membership.sweep(nowMs, (one) => timeoutMsOf(this.job, one))) {
      this.#lose(member, "dead", nowMs);
    }
    // Workers can't push while slices are away.
    if (!this.servers.isReachable) this.ledger?.renewLeases(nowMs);
    for (const lease of this.ledger?.expire(nowMs) ?? []) {
      const { memberId, epoch, batches } = lease;
      this.asynchrony.lost(memberId);
      this.#emit({ type: "leaseExpired", memberId, epoch, batchesReturned: batches.length });
    }
    this.#checkDrained(nowMs);
    const waited =
      this.#waits.exceeded(this.lifecycle, this.membership, nowMs, this.control.paused) ??
      (this.initialized ? this.servers.exceededWait(nowMs) : undefined);
    if (waited !== undefined) this.fail(waited, nowMs);
    if (this.lifecycle.kind !== "training") return;
    for (const event of progressEvents(this, nowMs)) this.#emit(event);
  }

  #adapt(): void {
    if (this.lifecycle.kind !== "training") return;
    this.counting.adapt(this.membership.present("worker").length);
  }

  #beginResumed(plan: ResumePlan, manifest: Manifest, data: DataFacts, nowMs: number): ClusterLayout {
    const { layout, ledger } = plan.begin(this.job, manifest, data);
    this.servers.begin(layout);
    this.counting.ledger = ledger;
    this.takeTraining(plan.training, false, nowMs);
    this.trainingStartMs ??= nowMs;
    this.evaluations.rewind(this.counting.epochsPassed);
    this.#emit(plan.event(this.counting.epochsPassed));
    return layout;
  }

  /** Training had ended with all epochs, and now batches are pending again. */
  #reopen(nowMs: number): void {
    const { lifecycle, ledger } = this;
    if (lifecycle.kind !== "draining" && lifecycle.kind !== "evaluating") return;
    if (lifecycle.reason !== "epochs" || ledger === undefined || ledger.progress().finished) return;
    ledger.resumeLeasing();
    this.evaluations.close();
    this.#roundsClosed = false;
    this.trainingEndMs = undefined;
    this.#advance({ kind: "reopened" }, nowMs);
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
      this.servers.lose(memberId, this.initialized);
      if (!this.initialized) this.#forgetWorkers(nowMs);
    }
    this.#checkDrained(nowMs);
  }

  /** Whoever has sent initial weights has sent them to a server that is gone: all must join, and send them, again. */
  #forgetWorkers(nowMs: number): void {
    for (const { memberId } of this.membership.present("worker")) this.leave(memberId, nowMs);
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
