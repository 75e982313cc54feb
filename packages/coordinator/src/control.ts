import { DownpourError } from "@downpour/errors";
import type { JobEvent } from "@downpour/protocol";
import type { Lifecycle } from "./lifecycle.ts";
import type { Member } from "./membership.ts";
import type { CoordinatorView } from "./summary.ts";

/** What people may ask of a running job, as plain data for JSON. */
export interface ControlSnapshot {
  readonly paused: boolean;
}

/** Factor of a drop where neither the caller nor the job's schedule names one. */
const dropFactorDefault = 0.1;

/** States in which a job can be paused: a job that has not begun training then begins it paused. */
const pausable: readonly Lifecycle["kind"][] = ["waitingForServers", "waitingForWorkers", "training"];

/**
 * What people ask of a running job: pause, resume, drop the learning rate, drain a worker.
 *
 * While a job is paused no lease is given; what is leased is finished, evaluations go on, and nobody is told to leave.
 */
export class JobControl {
  readonly #view: CoordinatorView;
  readonly #emit: (event: JobEvent) => void;
  #paused = false;

  constructor(view: CoordinatorView, emit: (event: JobEvent) => void) {
    this.#view = view;
    this.#emit = emit;
  }

  /** Whether the job is paused; one that ends is not, however it was before. */
  get paused(): boolean {
    return this.#paused && pausable.includes(this.#view.lifecycle.kind);
  }

  /** Why no lease is given now, for people; undefined: one may be. */
  get refusal(): string | undefined {
    return this.paused ? "the job is paused; resume it to go on" : undefined;
  }

  /** What a drop multiplies the rate by when nobody says: the factor of the job's plateau rule or of its steps. */
  get dropFactor(): number {
    const { plateau, schedule } = this.#view.job.learningRate;
    if (plateau !== undefined) return plateau.factor;
    return schedule.kind === "step" ? schedule.factor : dropFactorDefault;
  }

  snapshot(): ControlSnapshot {
    return { paused: this.#paused };
  }

  restore({ paused }: ControlSnapshot): void {
    this.#paused = paused;
  }

  /** No lease is given from now on; again is no error. @throws failedPrecondition: training has ended */
  pause(): void {
    if (this.paused) return;
    this.#refuseUnless(pausable, "paused");
    this.#paused = true;
    this.#emit({ type: "paused", ...this.#where() });
  }

  /** Leases are given again; again is no error. */
  resume(): void {
    if (!this.paused) return;
    this.#paused = false;
    this.#emit({ type: "resumed", ...this.#where() });
  }

  /**
   * Multiplies the learning rate by a factor, {@link dropFactor} where it is left out.
   * @throws failedPrecondition: the job does not train; invalidArgument: not between 0 and 1, or no rate would be left
   */
  dropLearningRate(factor = this.dropFactor): void {
    this.#refuseUnless(["training"], "given another learning rate");
    const { asynchrony } = this.#view;
    const { epoch } = this.#where();
    asynchrony.drop(factor, { atEpoch: epoch, reason: "manual" });
    const { revision } = asynchrony.schedule;
    const learningRate = this.#view.learningRate();
    const reason = "manual";
    this.#emit({
      type: "learningRateDropped",
      epoch,
      factor,
      learningRate,
      revision,
      reason,
      divergence: null,
    });
  }

  /**
   * Tells a worker to finish what it holds and leave; again is no error.
   * @throws unknownMember; invalidArgument: no worker; failedPrecondition: no other worker would be left
   */
  drain(memberId: string): Member {
    const { membership } = this.#view;
    const member = membership.get(memberId);
    if (member !== undefined && member.role !== "worker") {
      const message = `${memberId} is of role ${member.role}; only workers can be drained: end its process instead`;
      throw new DownpourError("invalidArgument", message, { facts: { memberId, role: member.role } });
    }
    if (member?.state === "draining") return member;
    const active = membership.present("worker").filter((worker) => worker.state === "active");
    if (member?.state === "active" && active.length === 1) {
      const message = `${memberId} is the last worker that takes part; pause or stop the job, or start another worker first`;
      throw new DownpourError("failedPrecondition", message, { facts: { memberId } });
    }
    const drained = membership.drain(memberId);
    this.#emit({ type: "memberDraining", memberId, role: drained.role });
    return drained;
  }

  #where(): { readonly epoch: number } {
    return { epoch: this.#view.ledger?.progress().epochsPassed ?? 0 };
  }

  #refuseUnless(kinds: readonly Lifecycle["kind"][], what: string): void {
    const { kind } = this.#view.lifecycle;
    if (kinds.includes(kind)) return;
    const message = `a job that is ${kind} can't be ${what}; expected ${kinds.join(" or ")}`;
    throw new DownpourError("failedPrecondition", message, { facts: { state: kind } });
  }
}
