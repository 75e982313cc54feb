import { DownpourError } from "@downpour/errors";
import type { Gate } from "./gate.ts";

/** Calls back after so many milliseconds. @returns what calls it off */
export type After = (ms: number, callBack: () => void) => () => void;

interface WaitingPull {
  readonly memberId: string;
  readonly resolve: () => void;
  readonly reject: (error: DownpourError) => void;
  readonly callOff: () => void;
}

export interface GateKeeperOptions {
  readonly gate: Gate;
  /** The open round has what it waits for: apply it. */
  readonly closeRound: () => void;
  /** A pull that waited so long is let on: those that held it back take part no longer. */
  readonly waitMsMax: number;
  readonly after: After;
}

/** Pulls that wait at a gate. */
export class GateKeeper {
  readonly #options: GateKeeperOptions;
  readonly #waiting = new Set<WaitingPull>();

  constructor(options: GateKeeperOptions) {
    this.#options = options;
  }

  get round(): number {
    return this.#options.gate.round;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  /** Resolves when the member may have weights for its next step. @throws unavailable: its streams are lost */
  async pass(memberId: string): Promise<void> {
    const { gate, waitMsMax, after } = this.#options;
    this.#react(gate.ask(memberId));
    if (gate.mayPull(memberId)) {
      gate.grant(memberId);
      return;
    }
    await new Promise<void>((resolve, reject) => {
      const callOff = after(waitMsMax, () => this.#giveUpOn(gate.heldBackBy(memberId)));
      this.#waiting.add({ memberId, resolve, reject, callOff });
    });
  }

  /** A whole gradient of the member has come. `leaves`: its lease has none after it. */
  pushed(memberId: string, round: number, leaves: boolean): void {
    const { gate } = this.#options;
    this.#react(gate.pushed(memberId, round));
    if (leaves) this.#react(gate.leave(memberId));
  }

  /** The member is gone: its pulls fail, and nobody waits for it. */
  leave(memberId: string, reason: string): void {
    for (const pull of this.#waiting) {
      if (pull.memberId !== memberId) continue;
      this.#end(pull);
      pull.reject(new DownpourError("unavailable", `the pull waited at a gate: ${reason}`));
    }
    this.#react(this.#options.gate.leave(memberId));
  }

  admit(memberId: string, pushKey: string, round: number): boolean {
    return this.#options.gate.admit(memberId, pushKey, round);
  }

  /** Lets all that wait go on. */
  open(): void {
    this.#options.gate.open();
    for (const pull of this.#waiting) this.#letOn(pull);
  }

  /** All members begin anew: those that wait go on and take part, the others from their next gated pull on. */
  reset(roundMin: number): void {
    const { gate } = this.#options;
    gate.reset(roundMin);
    for (const { memberId } of this.#waiting) gate.ask(memberId);
    for (const pull of this.#waiting) this.#letOn(pull);
  }

  #giveUpOn(memberIds: readonly string[]): void {
    let over = false;
    for (const id of memberIds) over = this.#options.gate.leave(id) || over;
    this.#react(over);
  }

  #react(roundIsOver: boolean): void {
    const { gate, closeRound } = this.#options;
    if (roundIsOver) {
      closeRound();
      gate.open();
    }
    for (const pull of this.#waiting) if (gate.mayPull(pull.memberId)) this.#letOn(pull);
  }

  #letOn(pull: WaitingPull): void {
    this.#end(pull);
    this.#options.gate.grant(pull.memberId);
    pull.resolve();
  }

  #end(pull: WaitingPull): void {
    pull.callOff();
    this.#waiting.delete(pull);
  }
}
