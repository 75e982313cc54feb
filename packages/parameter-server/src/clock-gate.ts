import type { Gate } from "./gate.ts";

/**
 * Stale synchronous parallel: a member may go on with its next step while no other that takes part is more than s
 * steps behind it (Ho et al. 2013, section 3). Its clock counts its pushes since it entered; it enters at the
 * smallest clock of those that take part. With s = 0 all keep in step.
 */
export class ClockGate implements Gate {
  readonly round = 0;
  readonly #bound: number;
  readonly #clocks = new Map<string, number>();

  /** @param bound s, steps that a member may be ahead of the slowest; at least 0 */
  constructor(bound: number) {
    this.#bound = bound;
  }

  ask(memberId: string): boolean {
    if (!this.#clocks.has(memberId)) this.#clocks.set(memberId, this.#smallest());
    return false;
  }

  mayPull(memberId: string): boolean {
    const own = this.#clocks.get(memberId);
    return own === undefined || this.#smallest() >= own - this.#bound;
  }

  grant(): void {
    // A clock says it all: weights may be had as often as one likes between two pushes.
  }

  pushed(memberId: string): boolean {
    const own = this.#clocks.get(memberId);
    if (own !== undefined) this.#clocks.set(memberId, own + 1);
    return false;
  }

  leave(memberId: string): boolean {
    this.#clocks.delete(memberId);
    return false;
  }

  heldBackBy(memberId: string): string[] {
    const own = this.#clocks.get(memberId) ?? 0;
    return [...this.#clocks].filter(([, clock]) => clock < own - this.#bound).map(([id]) => id);
  }

  admit(): boolean {
    return true;
  }

  open(): void {
    this.#clocks.clear();
  }

  reset(): void {
    this.open();
  }

  #smallest(): number {
    if (this.#clocks.size === 0) return 0;
    let smallest = Number.POSITIVE_INFINITY;
    for (const clock of this.#clocks.values()) smallest = Math.min(smallest, clock);
    return smallest;
  }
}
