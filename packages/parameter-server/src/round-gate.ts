import type { Gate } from "./gate.ts";

export interface RoundGateOptions {
  /** Workers of the job; with backup workers, a round takes the gradients of all but those. */
  readonly workers: number;
  /** Workers that a round does not wait for; 0: it waits for all that take part. */
  readonly backupWorkers: number;
}

/**
 * Synchronous rounds with backup workers (Chen et al. 2016, section 3). A round is over when min(N, members that
 * take part or have pushed in it) have pushed, N being the workers less the backup workers; or when all that take
 * part have pushed or asked for other weights without having pushed. Who has pushed, or gave up its gradient, waits
 * for the next round; who missed a round gets the weights of the open one.
 */
export class RoundGate implements Gate {
  readonly #options: RoundGateOptions;
  #round = 1;
  /** Members that take part, with the round whose weights each was given; 0 for none yet. */
  readonly #taking = new Map<string, number>();
  readonly #pushed = new Set<string>();
  readonly #abstained = new Set<string>();
  /** Push ids that have a place in the round, and whose they are. */
  readonly #admitted = new Map<string, string>();

  constructor(options: RoundGateOptions) {
    this.#options = options;
  }

  get round(): number {
    return this.#round;
  }

  ask(memberId: string): boolean {
    const given = this.#taking.get(memberId);
    if (given === undefined) this.#taking.set(memberId, 0);
    else if (given === this.#round && !this.#pushed.has(memberId)) this.#abstained.add(memberId);
    return this.#isOver();
  }

  mayPull(memberId: string): boolean {
    return !this.#pushed.has(memberId) && !this.#abstained.has(memberId);
  }

  grant(memberId: string): void {
    if (this.#taking.has(memberId)) this.#taking.set(memberId, this.#round);
  }

  pushed(memberId: string, round: number): boolean {
    if (round === this.#round) this.#pushed.add(memberId);
    return this.#isOver();
  }

  leave(memberId: string): boolean {
    this.#taking.delete(memberId);
    this.#abstained.delete(memberId);
    if (!this.#pushed.has(memberId)) {
      for (const [key, owner] of this.#admitted) if (owner === memberId) this.#admitted.delete(key);
    }
    return this.#isOver();
  }

  heldBackBy(memberId: string): string[] {
    if (this.mayPull(memberId)) return [];
    return [...this.#taking.keys()].filter((id) => !this.#pushed.has(id) && !this.#abstained.has(id));
  }

  admit(memberId: string, pushKey: string, round: number): boolean {
    if (round !== this.#round) return false;
    if (this.#admitted.has(pushKey)) return true;
    if (this.#admitted.size >= this.#wanted()) return false;
    this.#admitted.set(pushKey, memberId);
    return true;
  }

  reset(roundMin: number): void {
    this.#taking.clear();
    this.open();
    this.#round = Math.max(this.#round, roundMin);
  }

  open(): void {
    this.#round++;
    this.#pushed.clear();
    this.#abstained.clear();
    this.#admitted.clear();
  }

  /** N. */
  #wanted(): number {
    const { workers, backupWorkers } = this.#options;
    return backupWorkers > 0 ? Math.max(1, workers - backupWorkers) : Number.POSITIVE_INFINITY;
  }

  #isOver(): boolean {
    const members = new Set([...this.#taking.keys(), ...this.#pushed]);
    if (this.#pushed.size > 0 && this.#pushed.size >= Math.min(this.#wanted(), members.size)) return true;
    if (members.size === 0) return false;
    for (const id of members) if (!this.#pushed.has(id) && !this.#abstained.has(id)) return false;
    return true;
  }
}
