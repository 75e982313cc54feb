/**
 * Who may pull weights for its next step. Pure: the caller tells what came, and asks again after each change. A
 * member takes part from its first gated pull until it leaves.
 */
export interface Gate {
  /** The open round; 0 where there are none. */
  readonly round: number;
  /**
   * A gated pull came: the member takes part from now on. Told once per pull.
   * @returns whether the open round has what it waits for; the caller closes it with `open` then
   */
  ask(memberId: string): boolean;
  /** Whether the pull that `ask` told of may be answered now. */
  mayPull(memberId: string): boolean;
  /** The pull is answered: the member has the weights for its next step. */
  grant(memberId: string): void;
  /**
   * The member's gradient has come, all slices of it. `round`: the one it was computed in.
   * @returns as `ask`
   */
  pushed(memberId: string, round: number): boolean;
  /**
   * The member takes part no longer: its lease is at its end, its streams are lost, or it has left the job.
   * @returns as `ask`
   */
  leave(memberId: string): boolean;
  /** Those for whom a pull of this member waits: they leave when it has waited too long. */
  heldBackBy(memberId: string): string[];
  /** Whether a gradient may be pushed to the open round. */
  admit(memberId: string, pushKey: string, round: number): boolean;
  /** Opens the gate for all that wait: the next round begins, or nobody is counted any more. */
  open(): void;
  /** Nobody takes part any more, and the next round begins, which is at least this. */
  reset(roundMin: number): void;
}

/** Nobody waits (async, n-softsync). */
export const openGate: Gate = {
  round: 0,
  ask: () => false,
  mayPull: () => true,
  grant: () => undefined,
  pushed: () => false,
  leave: () => false,
  heldBackBy: () => [],
  admit: () => true,
  open: () => undefined,
  reset: () => undefined,
};
